/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: creating and deleting volumes, claims, moves, delays. */
#include "tests/integration/store_fixture.h"

static void creating(struct store *s)
{
	sql(s, "update public.volumes set status = 'creating'");
	sql(s,
		"insert into public.workers (deleted, resource_type, resource_id,"
		" status) values (false, 'Volume', '%s', 'creating')",
		s->volume);
}

static enum admission admit_create(struct store *s, const char *request_id)
{
	enum admission admission;

	ok(s, store_create_admit(s->db, s->volume, request_id, &admission, &s->err));
	return admission;
}

/* Admitted and claimed. */
static void begin_create(struct store *s, struct operation *op)
{
	AUTO(free) char *id = NULL;

	creating(s);
	assert_int_equal(admit_create(s, "r1"), ADMITTED);
	id = sql_value(s, "select id from drover.operation");
	assert_int_equal(store_operation_claim(s->db, id, OWNER, op, &s->err), 1);
}

/* ---- create ---- */

static void a_creation_is_admitted_once(void **state)
{
	struct store *s = *state;
	enum admission admission;
	struct operation op;

	creating(s);
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	assert_int_equal(admit_create(s, "r1"), ADMITTED);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_int_equal(admit_create(s, "r1"), DUPLICATE);
	assert_fails(s, store_create_admit(s->db, s->volume, "r2", &admission, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be created: it is being created");
	AUTO(free) char *id = sql_value(s, "select id from drover.operation");
	assert_int_equal(store_operation_get(s->db, id, &op, &s->err), 1);
	assert_string_equal(op.id, id);
	assert_string_equal(op.kind, "create_volume");
	assert_string_equal(op.volume_id, s->volume);
	assert_string_equal(op.host, SOURCE_BACKEND);
	assert_string_equal(op.request_id, "r1");
	assert_string_equal(op.saved_status, "creating");
	assert_string_equal(op.reason, "");
	assert_int_equal(op.phase, PHASE_QUEUED);
	assert_int_equal(op.epoch, 0);
	assert_int_equal(op.attempts, 0);
	assert_false(op.cancel);
	assert_int_equal(store_operation_get(s->db, OWNER, &op, &s->err), 0);
}

static void only_a_placed_volume_is_created(void **state)
{
	struct store *s = *state;
	enum admission admission;

	assert_fails(s, store_create_admit(s->db, s->volume, "r1", &admission, &s->err),
		ERR_INVALID_VOLUME, "volume '%s' has status 'available', not creating",
		s->volume);
	sql(s, "update public.volumes set status = 'creating', host = null");
	assert_fails(s, store_create_admit(s->db, s->volume, "r1", &admission, &s->err),
		ERR_INVALID_HOST, NULL);
	assert_fails(s, store_create_admit(s->db, OWNER, "r1", &admission, &s->err),
		ERR_VOLUME_NOT_FOUND, "volume '" OWNER "' could not be found");
	assert_sql(s, "0", "select count(*) from drover.operation");
}

static void a_created_volume_is_available(void **state)
{
	struct store *s = *state;
	struct operation op, stale;

	begin_create(s, &op);
	ok(s, store_operation_start(s->db, &op, &s->err));
	assert_int_equal(op.phase, PHASE_WORKING);
	ok(s, store_operation_start(s->db, &op, &s->err));
	assert_volume(s, s->volume, "creating|-|" SOURCE);
	ok(s, db_listen(s->second, DONE_CHANNEL, &s->err));
	stale = op;
	ok(s, store_create_done(s->db, &op, "", &s->err));
	assert_int_equal(op.phase, PHASE_DONE);
	assert_notified(s, DONE_CHANNEL, s->volume);
	assert_volume(s, s->volume, "available|-|" SOURCE);
	assert_sql(s, "t|t|f",
		"select concat_ws('|', launched_at is not null, service_uuid ="
		" (select uuid from public.services where host = '" SOURCE_BACKEND
		"'), shared_targets) from public.volumes");
	assert_sql(s, "0",
		"select count(*) from public.workers"
		" where resource_type = 'Volume'");
	/* After a commit of unknown outcome. */
	AUTO(free) char *once = sql_everything(s);
	ok(s, store_create_done(s->db, &stale, "", &s->err));
	AUTO(free) char *twice = sql_everything(s);
	assert_sql(s, "2", "select count(*) from drover.transition");
	assert_string_equal(twice, once);
	assert_int_equal(admit_create(s, "r1"), DUPLICATE);
	/* Since then it is its user's. */
	sql(s, "update public.volumes set deleted = true");
	ok(s, store_create_done(s->db, &stale, "", &s->err));
}

static void a_created_volume_says_where_it_is(void **state)
{
	struct store *s = *state;
	struct operation op;

	begin_create(s, &op);
	ok(s, store_operation_start(s->db, &op, &s->err));
	ok(s, store_create_done(s->db, &op, "127.0.0.1:/export1", &s->err));
	assert_sql(s, "available|127.0.0.1:/export1|format=raw",
		"select concat_ws('|', v.status, v.provider_location, m.key || '=' ||"
		" m.value) from public.volumes v left join"
		" public.volume_admin_metadata m on m.volume_id = v.id"
		" and not m.deleted where v.id = '%s'",
		s->volume);
}

static void a_failed_creation_says_why(void **state)
{
	struct store *s = *state;
	struct operation op, stale;
	struct error why;
	char reason[64] = "";

	assert_int_equal(
		store_create_reason(s->db, s->volume, reason, sizeof(reason), &s->err),
		0);
	begin_create(s, &op);
	ok(s, store_operation_start(s->db, &op, &s->err));
	ok(s,
		store_object_plan(
			s->db, NULL, SOURCE_BACKEND, "volume-s", s->volume, &s->err));
	stale = op;
	error_set(&why, ERR_NO_SPACE, "the disk is full");
	ok(s, db_listen(s->second, DONE_CHANNEL, &s->err));
	ok(s, store_create_failed(s->db, &op, &why, &s->err));
	assert_int_equal(op.phase, PHASE_FAILED);
	assert_notified(s, DONE_CHANNEL, s->volume);
	assert_volume(s, s->volume, "error|-|" SOURCE);
	assert_int_equal(
		store_create_reason(s->db, s->volume, reason, sizeof(reason), &s->err),
		1);
	assert_string_equal(reason, "the disk is full");
	assert_sql(s, "no_space|the disk is full",
		"select error_code || '|' || reason from drover.operation");
	assert_sql(s, "volume-s|could not be created",
		"select name || '|' || reason from drover.garbage");
	assert_sql(s, "0",
		"select count(*) from public.workers"
		" where resource_type = 'Volume'");
	AUTO(free) char *once = sql_everything(s);
	ok(s, store_create_failed(s->db, &op, &why, &s->err));
	ok(s, store_create_failed(s->db, &stale, &why, &s->err));
	AUTO(free) char *thrice = sql_everything(s);
	assert_string_equal(thrice, once);
	assert_int_equal(admit_create(s, "r1"), DUPLICATE);
}

static void a_creation_ends_when_its_volume_is_gone(void **state)
{
	struct store *s = *state;
	struct operation op;
	struct error why;

	begin_create(s, &op);
	sql(s, "update public.volumes set deleted = true");
	error_set(&why, ERR_VOLUME_NOT_FOUND, "gone");
	ok(s, store_create_failed(s->db, &op, &why, &s->err));
	assert_sql(s, "failed", "select phase from drover.operation");
	/* What was made of it is not. */
	assert_sql(s, "volume-",
		"select left(name, 7) from drover.garbage where volume_id = '%s'",
		s->volume);
}

/* ---- claims ---- */

static void work_is_due_in_order_and_per_backend(void **state)
{
	struct store *s = *state;
	AUTO(free) struct operation *list = NULL;
	AUTO(free) struct operation *one = NULL;
	AUTO(free) struct operation *none = NULL;
	char second[UUID_TEXT_SIZE], third[UUID_TEXT_SIZE];
	enum admission admission;

	creating(s);
	assert_int_equal(admit_create(s, "r1"), ADMITTED);
	add_volume(s, "b", SOURCE, second);
	add_volume(s, "c", SOURCE, third);
	sql(s, "update public.volumes set status = 'creating'");
	ok(s, store_create_admit(s->db, second, "r2", &admission, &s->err));
	ok(s, store_create_admit(s->db, third, "r3", &admission, &s->err));
	sql(s,
		"update drover.operation set not_before = now() + interval '1 h'"
		" where request_id = 'r2'");
	assert_int_equal(
		store_operation_due(s->db, SOURCE_BACKEND, 10, &list, &s->err), 2);
	assert_string_equal(list[0].request_id, "r1");
	assert_string_equal(list[1].request_id, "r3");
	/* A copy waits behind what is short; a cancelled one is. */
	sql(s,
		"update drover.operation set kind = 'migrate_volume', phase = 'copying'"
		" where request_id = 'r1'");
	free(steal(list));
	assert_int_equal(
		store_operation_due(s->db, SOURCE_BACKEND, 10, &list, &s->err), 2);
	assert_string_equal(list[0].request_id, "r3");
	assert_string_equal(list[1].request_id, "r1");
	sql(s, "update drover.operation set cancel = true where request_id = 'r1'");
	assert_int_equal(
		store_operation_due(s->db, SOURCE_BACKEND, 1, &one, &s->err), 1);
	assert_string_equal(one[0].request_id, "r1");
	/* Short, filled, long: each has its own first. */
	sql(s,
		"update drover.operation set cancel = false where request_id = 'r1';"
		" insert into drover.operation (id, kind, volume_id, host, request_id)"
		" values ('" OTHER_OWNER "', 'create_volume', 'x', '" SOURCE_BACKEND
		"', 'r4'); insert into drover.source (operation_id, volume_id)"
		" values ('" OTHER_OWNER "', 'y')");
	free(steal(list));
	assert_int_equal(
		store_operation_due(s->db, SOURCE_BACKEND, 1, &list, &s->err), 3);
	assert_string_equal(list[0].request_id, "r3");
	assert_string_equal(list[1].request_id, "r4");
	assert_string_equal(list[2].request_id, "r1");
	assert_true(list[1].fills && !list[1].copies && !list[0].fills);
	sql(s, "update drover.source set copies = true");
	free(steal(list));
	assert_int_equal(
		store_operation_due(s->db, SOURCE_BACKEND, 1, &list, &s->err), 2);
	assert_string_equal(list[1].request_id, "r1");
	sql(s, "delete from drover.source");
	sql(s, "delete from drover.operation where request_id = 'r4'");
	/* What is held is looked at now and then. */
	sql(s, "update drover.operation set phase = 'held' where request_id = 'r1'");
	free(steal(list));
	assert_int_equal(
		store_operation_due(s->db, SOURCE_BACKEND, 10, &list, &s->err), 2);
	assert_int_equal(
		store_operation_due(s->db, TARGET_BACKEND, 10, &none, &s->err), 0);
}

static void a_claim_raises_the_epoch(void **state)
{
	struct store *s = *state;
	struct operation op, second, late;
	struct error why;

	error_set(&why, ERR_NO_SPACE, "the disk is full");
	begin_create(s, &op);
	assert_int_equal(epoch_number(op.epoch), 1);
	assert_int_equal(
		store_operation_claim(s->db, op.id, OWNER, &second, &s->err), 1);
	assert_int_equal(epoch_number(second.epoch), 2);
	assert_fails(s, store_operation_start(s->db, &op, &s->err), ERR_FENCED,
		"operation '%s' was taken over (claim 2, ours is 1)", op.id);
	assert_fails(s, store_create_done(s->db, &op, "", &s->err), ERR_FENCED, NULL);
	assert_fails(
		s, store_create_failed(s->db, &op, &why, &s->err), ERR_FENCED, NULL);
	assert_volume(s, s->volume, "creating|-|" SOURCE);
	assert_sql(s, "queued|2",
		"select phase || '|' || (epoch >> 32)"
		" from drover.operation");
	/* Not due, finished, unknown. */
	sql(s, "update drover.operation set not_before = now() + interval '1 h'");
	assert_int_equal(store_operation_claim(s->db, op.id, OWNER, &late, &s->err), 0);
	sql(s, "update drover.operation set not_before = now()");
	ok(s, store_operation_start(s->db, &second, &s->err));
	ok(s, store_create_done(s->db, &second, "", &s->err));
	assert_int_equal(store_operation_claim(s->db, op.id, OWNER, &late, &s->err), 0);
	assert_int_equal(store_operation_claim(s->db, OWNER, OWNER, &late, &s->err), 0);
}

static void deaths_are_counted_and_waited_after(void **state)
{
	struct store *s = *state;
	struct operation op, late;

	begin_create(s, &op);
	assert_int_equal(store_operation_delay(s->db, &op, 3600, &s->err), 1);
	assert_sql(s, "1|t",
		"select concat_ws('|', attempts, not_before > now() +"
		" interval '59 min') from drover.operation");
	assert_int_equal(store_operation_claim(s->db, op.id, OWNER, &late, &s->err), 0);
	assert_int_equal(store_operation_delay(s->db, &op, 0, &s->err), 1);
	assert_int_equal(store_operation_claim(s->db, op.id, OWNER, &late, &s->err), 1);
	assert_int_equal(late.attempts, 2);
	/* The old one's death is no news. */
	assert_int_equal(store_operation_delay(s->db, &op, 3600, &s->err), 0);
	/* A step counts as getting on. */
	ok(s, store_operation_start(s->db, &late, &s->err));
	assert_sql(s, "0", "select attempts from drover.operation");
}

struct locking {
	struct operation *op;
	enum phase to;
};

static int move_body(struct db *db, void *arg, struct error *err)
{
	struct locking *l = arg;

	if (store_operation_lock(db, l->op, err) < 0)
		return -1;
	return store_operation_move_locked(db, l->op, l->to, "because", err);
}

static void a_move_follows_the_table(void **state)
{
	struct store *s = *state;
	struct operation op;
	struct locking locking = { &op, PHASE_DONE };

	begin_create(s, &op);
	assert_fails(s, db_transact(s->db, move_body, &locking, &s->err), ERR_FENCED,
		"operation '%s' is in phase 'queued', from where it cannot become "
		"'done'",
		op.id);
	assert_sql(s, "0", "select count(*) from drover.transition");
	locking.to = PHASE_FAILED;
	ok(s, db_transact(s->db, move_body, &locking, &s->err));
	assert_sql(s, "queued|failed|because|1",
		"select concat_ws('|', from_phase, to_phase, why, epoch >> 32)"
		" from drover.transition");
	assert_sql(s, "because|t",
		"select concat_ws('|', reason, finished_at is not"
		" null) from drover.operation");
	sql(s, "delete from drover.transition; delete from drover.operation");
	assert_fails(s, db_transact(s->db, move_body, &locking, &s->err), ERR_FENCED,
		"operation '%s' is not there any more", op.id);
}

static void only_the_owner_of_the_lease_claims(void **state)
{
	struct store *s = *state;
	struct operation op;

	begin_create(s, &op);
	assert_int_equal(
		store_operation_claim(s->db, op.id, OTHER_OWNER, &op, &s->err), 0);
	sql(s, "update drover.manager set expires_at = now() - interval '1 s'");
	assert_int_equal(store_operation_claim(s->db, op.id, OWNER, &op, &s->err), 0);
	sql(s, "update drover.manager set expires_at = now() + interval '1 min'");
	assert_int_equal(store_operation_claim(s->db, op.id, OWNER, &op, &s->err), 1);
	assert_int_equal(epoch_number(op.epoch), 2);
}

/* Every step of the table, in rows, within the constraints. */
static void the_database_knows_every_phase(void **state)
{
	static const char *const kinds[] = { "create_volume", "migrate_volume" };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(kinds) * PHASE_COUNT * PHASE_COUNT; i++) {
		enum phase from = i / PHASE_COUNT % PHASE_COUNT, to = i % PHASE_COUNT;
		const char *kind = kinds[i / PHASE_COUNT / PHASE_COUNT];
		struct operation op;
		struct locking locking = { &op, to };

		if (!phase_step_find(kind, from, to))
			continue;
		sql(s, "delete from drover.transition; delete from drover.operation");
		sql(s,
			"insert into drover.operation (id, kind, volume_id, host,"
			" request_id, phase) values (gen_random_uuid(), '%s', '%s',"
			" '" SOURCE_BACKEND "', 'r1', '%s')",
			kind, s->volume, phase_name(from));
		AUTO(free) char *id = sql_value(s, "select id from drover.operation");
		assert_int_equal(
			store_operation_claim(s->db, id, OWNER, &op, &s->err), 1);
		assert_int_equal(op.phase, from);
		ok(s, db_transact(s->db, move_body, &locking, &s->err));
		assert_int_equal(store_operation_get(s->db, id, &op, &s->err), 1);
		assert_int_equal(op.phase, to);
		/* Finished, and so never claimed again, exactly in a final phase. */
		assert_int_equal(store_operation_claim(s->db, id, OWNER, &op, &s->err),
			!phase_is_final(to));
	}
}

static void a_note_stays_until_it_goes_on(void **state)
{
	struct store *s = *state;
	struct migration m, old;

	admit_migration(s, "m1", &m);
	bring_to(s, &m, PHASE_SETTLING);
	ok(s, store_operation_note(s->db, &m.op, "the backend is away", &s->err));
	assert_sql(s, "settling|the backend is away",
		"select phase || '|' || reason from drover.operation");
	old = m;
	claim(s, &m);
	ok(s, store_operation_note(s->db, &old.op, "late news", &s->err));
	assert_sql(s, "the backend is away", "select reason from drover.operation");
	bring_to(s, &m, PHASE_DONE);
	ok(s, store_operation_note(s->db, &m.op, "late news", &s->err));
	assert_sql(s, "-", "select coalesce(reason, '-') from drover.operation");
}

static int end_body(struct db *db, void *arg, struct error *err)
{
	struct error why;

	error_set(&why, ERR_MISMATCH, "words");
	return store_operation_end_locked(db, arg, PHASE_FAILED, &why, err);
}

static void what_workers_count_is_added_up(void **state)
{
	struct store *s = *state;
	struct operation op;

	begin_create(s, &op);
	ok(s, store_operation_add_commits(s->db, op.id, 3, 0.25, &s->err));
	ok(s, store_operation_add_commits(s->db, op.id, 4, 0.5, &s->err));
	assert_sql(s, "7|0.75",
		"select concat_ws('|', commits, commit_seconds)"
		" from drover.operation");
	ok(s, db_transact(s->db, end_body, &op, &s->err));
	assert_sql(s, "failed|mismatch|words",
		"select concat_ws('|', phase, error_code, reason)"
		" from drover.operation");
	ok(s, db_listen(s->second, DONE_CHANNEL, &s->err));
	ok(s, store_notify(s->db, DONE_CHANNEL, "it's", &s->err));
	assert_notified(s, DONE_CHANNEL, "it's");
}

/* ---- for parts of other transactions ---- */

static void assert_idle(struct store *s, const char *id, const char *want)
{
	struct volume v;

	assert_int_equal(store_volume_get(s->db, id, &v, &s->err), 1);
	if (want)
		assert_fails(s, store_volume_idle(s->db, &v, "be painted", &s->err),
			ERR_INVALID_VOLUME, "%s", want);
	else
		assert_int_equal(
			store_volume_idle(s->db, &v, "be painted", &s->err), 0);
}

static void unfinished_work_keeps_a_volume_busy(void **state)
{
	struct store *s = *state;
	struct operation op;
	struct migration m;

	assert_idle(s, s->volume, NULL);
	admit_migration(s, "m1", &m);
	bring_to(s, &m, PHASE_COPYING);
	assert_idle(s, s->volume,
		"volume 'data' cannot be painted: it is already migrating to "
		"'" TARGET "'");
	assert_idle(s, m.temporary_id,
		"volume 'data' cannot be painted: it is the target of a migration");
	bring_to(s, &m, PHASE_SETTLING);
	assert_idle(s, s->volume, NULL);
	store_reset(state);
	begin_create(s, &op);
	assert_idle(
		s, s->volume, "volume 'data' cannot be painted: it is being created");
}

static int delete_body(struct db *db, void *arg, struct error *err)
{
	static const char sql[] =
		"select *, name as volume_type, false as encrypted, 0 as snapshots, 0 as snapshot_objects,"
		" 0 as attachments, 0 as connected, 0 as exports, '' as format,"
		" '' as created_text from (select v.*, 'fast' as name"
		" from public.volumes v where v.id = $1) row";
	struct store *s = arg;
	AUTO(PQclear) PGresult *rows = NULL;
	struct volume volume;

	if (db_query(db, sql, &rows, err, s->volume) < 0)
		return -1;
	store_volume_from_row(rows, 0, &volume);
	assert_string_equal(volume.volume_type, "fast");
	return store_volume_delete_locked(db, &volume, err);
}

static void deleting_is_part_of_a_transaction(void **state)
{
	struct store *s = *state;

	sql(s,
		"insert into public.quota_usages (project_id, resource, in_use,"
		" reserved, deleted) values ('project', 'volumes_fast', 5, 0, false)");
	ok(s, db_transact(s->db, delete_body, s, &s->err));
	assert_sql(s, "4", "select in_use from public.quota_usages");
	assert_sql(s, "deleted|t",
		"select status || '|' || deleted::text::char"
		" from public.volumes");
	/* The object is its caller's business. */
	assert_sql(s, "0", "select count(*) from drover.garbage");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_creation_is_admitted_once),
		STORE_TEST(only_a_placed_volume_is_created),
		STORE_TEST(a_created_volume_is_available),
		STORE_TEST(a_created_volume_says_where_it_is),
		STORE_TEST(a_failed_creation_says_why),
		STORE_TEST(a_creation_ends_when_its_volume_is_gone),
		STORE_TEST(work_is_due_in_order_and_per_backend),
		STORE_TEST(a_claim_raises_the_epoch),
		STORE_TEST(only_the_owner_of_the_lease_claims),
		STORE_TEST(deaths_are_counted_and_waited_after),
		STORE_TEST(a_move_follows_the_table),
		STORE_TEST(the_database_knows_every_phase),
		STORE_TEST(a_note_stays_until_it_goes_on),
		STORE_TEST(what_workers_count_is_added_up),
		STORE_TEST(unfinished_work_keeps_a_volume_busy),
		STORE_TEST(deleting_is_part_of_a_transaction),
	};

	return STORE_MAIN(tests);
}
