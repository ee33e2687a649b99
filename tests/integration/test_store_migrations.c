/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: begun, admitted, known again, refused, cancelled, listed. */
#include "tests/integration/store_fixture.h"

#include <pthread.h>

static enum admission admit(struct store *s, const char *request_id)
{
	struct migration_request request = request_of(s, request_id);
	enum admission admission;

	ok(s, store_migration_admit(s->db, &request, &admission, &s->err));
	return admission;
}

/* ---- begin ---- */

static void beginning_marks_the_volume(void **state)
{
	struct store *s = *state;

	ok(s,
		store_migration_begin(
			s->db, s->volume, TARGET, false, DOWN_TIME, &s->err));
	assert_volume(s, s->volume, "available|starting|" SOURCE);
	assert_sql(s, "available", "select previous_status from public.volumes");
	/* Twice is a second request. */
	assert_fails(s,
		store_migration_begin(
			s->db, s->volume, TARGET, false, DOWN_TIME, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' is already migrating: its migration_status is "
		"'starting'");
}

static void beginning_can_lock_the_volume(void **state)
{
	struct store *s = *state;

	/* The scheduler chooses. */
	ok(s, store_migration_begin(s->db, s->volume, NULL, true, DOWN_TIME, &s->err));
	assert_volume(s, s->volume, "maintenance|starting|" SOURCE);
	assert_sql(s, "available", "select previous_status from public.volumes");
	assert_int_equal(admit(s, "r1"), ADMITTED);
	assert_sql(s, "available|true",
		"select saved_status || '|' || lock_volume from drover.operation"
		" join drover.migration on operation_id = id");
}

static void beginning_checks_first(void **state)
{
	struct store *s = *state;
	AUTO(free) char *before = NULL;
	char unknown[UUID_TEXT_SIZE];

	add_snapshot(s, s->volume);
	before = sql_everything(s);
	assert_fails(s,
		store_migration_begin(
			s->db, s->volume, TARGET, true, DOWN_TIME, &s->err),
		ERR_INVALID_VOLUME, NULL);
	assert_fails(s,
		store_migration_begin(s->db, s->volume, "x@", true, DOWN_TIME, &s->err),
		ERR_INVALID_HOST, NULL);
	uuid_make(unknown);
	assert_fails(s,
		store_migration_begin(s->db, unknown, TARGET, true, DOWN_TIME, &s->err),
		ERR_VOLUME_NOT_FOUND, "volume '%s' could not be found", unknown);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
}

/* ---- admit ---- */

static void admission_writes_everything_before_work_begins(void **state)
{
	struct store *s = *state;
	struct migration_request request = request_of(s, "req-1");
	enum admission admission = DUPLICATE;
	struct migration m;

	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	request.force_host_copy = true;
	ok(s, store_migration_admit(s->db, &request, &admission, &s->err));
	assert_int_equal(admission, ADMITTED);
	assert_volume(s, s->volume, "available|starting|" SOURCE);
	assert_int_equal(store_migration_last(s->db, s->volume, &m, &s->err), 1);
	assert_string_equal(m.op.kind, "migrate_volume");
	assert_string_equal(m.op.volume_id, s->volume);
	assert_string_equal(m.op.host, SOURCE_BACKEND);
	assert_string_equal(m.op.request_id, "req-1");
	assert_string_equal(m.op.saved_status, "available");
	assert_int_equal(m.op.phase, PHASE_QUEUED);
	assert_int_equal(m.op.epoch, 0);
	assert_string_equal(m.source, SOURCE);
	assert_string_equal(m.target, TARGET);
	assert_string_equal(m.source_name_id, s->volume);
	assert_true(uuid_is(m.temporary_id));
	assert_true(m.force_host_copy);
	assert_false(m.lock_volume);
	assert_int_equal(m.size_bytes, INT64_C(2) << 30);
	assert_string_equal(m.route, "");
	assert_string_equal(m.finished_at, "");
	assert_string_equal(m.volume_name, "data");
	assert_string_equal(m.created_at + 10, strchr(m.created_at, 'T'));
	/* T is an id so far, not a row. */
	assert_sql(s, "1", "select count(*) from public.volumes");
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
}

static void the_name_of_the_source_object_is_remembered(void **state)
{
	struct store *s = *state;
	struct migration m;

	sql(s, "update public.volumes set _name_id = '" OWNER "'");
	admit_migration(s, "r1", &m);
	assert_string_equal(m.source_name_id, OWNER);
}

static void assert_duplicate(struct store *s, const char *request_id)
{
	AUTO(free) char *before = sql_everything(s);

	assert_int_equal(admit(s, request_id), DUPLICATE);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
}

static void assert_refuses_another(struct store *s)
{
	struct migration_request request = request_of(s, "another");
	AUTO(free) char *before = sql_everything(s);
	enum admission admission;

	assert_fails(s, store_migration_admit(s->db, &request, &admission, &s->err),
		ERR_INVALID_VOLUME, NULL);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
}

static void a_request_is_known_in_every_phase(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	for (enum phase phase = PHASE_PREPARING; phase <= PHASE_DONE; phase++) {
		if (!is_of_a_copy(phase))
			continue;
		assert_duplicate(s, "r1");
		if (phase <= PHASE_SETTLING)
			assert_refuses_another(s);
		bring_to(s, &m, phase);
	}
	assert_duplicate(s, "r1");
	/* It is on the target now, and may go back. */
	struct migration_request back = request_of(s, "r2");
	enum admission admission;
	back.target = SOURCE;
	ok(s, store_migration_admit(s->db, &back, &admission, &s->err));
	assert_int_equal(admission, ADMITTED);
}

static void a_request_is_known_when_it_failed(void **state)
{
	static const enum phase ends[] = { PHASE_FAILED, PHASE_CANCELLED };
	struct store *s = *state;
	struct error why;

	error_set(&why, ERR_BACKEND, "the disk is on fire");
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		const char *id = i ? "r2" : "r1";
		struct migration m;

		admit_migration(s, id, &m);
		ok(s,
			store_migration_roll_back(
				s->db, &m, ends[i], &why, false, &s->err));
		assert_duplicate(s, id);
	}
	assert_int_equal(admit(s, "r3"), ADMITTED);
}

struct requester {
	struct db *db;
	struct migration_request request;
	enum admission admission;
	int result;
	struct error err;
};

static void *run_requester(void *arg)
{
	struct requester *r = arg;

	r->result = store_migration_admit(r->db, &r->request, &r->admission, &r->err);
	return NULL;
}

/* Both wait for the volume's row before either can look. */
static void request_at_once(struct store *s, struct requester r[2])
{
	pthread_t threads[2];

	sql(s, "begin");
	sql(s, "select 1 from public.volumes for update");
	for (int i = 0; i < 2; i++) {
		r[i].db = i ? s->second : s->db;
		assert_int_equal(
			pthread_create(&threads[i], NULL, run_requester, &r[i]), 0);
	}
	wait_for_waiters(s, 2);
	sql(s, "commit");
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_sql(s, "1", "select count(*) from drover.operation");
	assert_sql(s, "1", "select count(*) from drover.migration");
}

static void of_two_requests_at_once_one_is_admitted(void **state)
{
	struct store *s = *state;
	struct requester r[2] = { { .request = request_of(s, "r1") },
		{ .request = request_of(s, "r2") } };

	/* Other targets, so that the row is what they meet at. */
	r[1].request.target = SOURCE_BACKEND "#other";
	request_at_once(s, r);
	assert_int_equal(r[0].result + r[1].result, -1);
	struct requester *loser = r[0].result < 0 ? &r[0] : &r[1];
	assert_int_equal(r[0].result < 0 ? r[1].admission : r[0].admission, ADMITTED);
	assert_int_equal(loser->err.code, ERR_INVALID_VOLUME);
}

static void of_one_request_twice_at_once_one_is_a_duplicate(void **state)
{
	struct store *s = *state;
	struct requester r[2] = { { .request = request_of(s, "r1") },
		{ .request = request_of(s, "r1") } };

	request_at_once(s, r);
	assert_int_equal(r[0].result, 0);
	assert_int_equal(r[1].result, 0);
	assert_int_not_equal(r[0].admission, r[1].admission);
}

static void *run_insert(void *arg)
{
	static const char insert[] =
		"insert into drover.operation (id, kind, volume_id, host, request_id)"
		" select gen_random_uuid(), 'create_volume', volume_id, host, 'r2'"
		" from (select $1::text, $2::text) as row (volume_id, host)";
	struct requester *r = arg;

	r->result =
		db_run(r->db, insert, &r->err, r->request.volume_id, SOURCE_BACKEND);
	return NULL;
}

/* The last line, should a lock be forgotten. */
static void the_index_itself_lets_one_operation_in(void **state)
{
	struct store *s = *state;
	struct requester r = { .db = s->second, .request = request_of(s, "r2") };
	pthread_t thread;

	sql(s, "begin");
	sql(s,
		"insert into drover.operation (id, kind, volume_id, host, request_id)"
		" values (gen_random_uuid(), 'create_volume', '%s', '" SOURCE_BACKEND
		"', 'r1')",
		s->volume);
	assert_int_equal(pthread_create(&thread, NULL, run_insert, &r), 0);
	wait_for_waiters(s, 1);
	sql(s, "commit");
	pthread_join(thread, NULL);
	assert_int_equal(r.result, -1);
	assert_int_equal(r.err.code, ERR_DATABASE);
	assert_non_null(strstr(r.err.text, "operation_one_for_a_volume"));
	/* And a request is known for ever. */
	sql(s,
		"update drover.operation set phase = 'done', finished_at = now(),"
		" request_id = 'r2'");
	run_insert(&r);
	assert_int_equal(r.result, -1);
	assert_non_null(strstr(r.err.text, "operation_request"));
}

/* ---- refuse ---- */

static void refuse(struct store *s, const char *request_id, bool keep)
{
	struct migration_request request = request_of(s, request_id);
	struct error why;

	request.keep_result = keep;
	error_set(&why, ERR_NO_VALID_BACKEND, "no pool can take it");
	ok(s, store_migration_refuse(s->db, &request, &why, &s->err));
}

static void a_refused_volume_is_as_it_was(void **state)
{
	struct store *s = *state;

	ok(s, db_listen(s->second, DONE_CHANNEL, &s->err));
	for (int locked = 0; locked < 2; locked++)
		for (int keep = 0; keep < 2; keep++) {
			AUTO(free) char *id = text_format("r-%d-%d", locked, keep);

			ok(s,
				store_migration_begin(s->db, s->volume, TARGET, locked,
					DOWN_TIME, &s->err));
			refuse(s, id, keep);
			assert_volume(s, s->volume,
				keep ? "available|error|" SOURCE
				     : "available|-|" SOURCE);
			assert_notified(s, DONE_CHANNEL, s->volume);
			/* Once more, as after a lost answer. */
			refuse(s, id, !keep);
			assert_volume(s, s->volume,
				keep ? "available|error|" SOURCE
				     : "available|-|" SOURCE);
		}
	assert_sql(s, "4", "select count(*) from drover.operation");
}

static void a_refusal_is_a_finished_migration(void **state)
{
	struct store *s = *state;
	struct migration m;

	refuse(s, "r1", false);
	assert_int_equal(store_migration_last(s->db, s->volume, &m, &s->err), 1);
	assert_int_equal(m.op.phase, PHASE_FAILED);
	assert_string_equal(m.op.reason, "no pool can take it");
	assert_string_equal(m.error_code, "no_valid_backend");
	assert_string_equal(m.source, SOURCE);
	assert_string_equal(m.target, TARGET);
	assert_string_not_equal(m.finished_at, "");
	/* The request is known now. */
	assert_duplicate(s, "r1");
}

static void a_refusal_leaves_alone_what_runs(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	for (enum phase phase = PHASE_QUEUED; phase <= PHASE_SEALING; phase++) {
		AUTO(free) char *id = text_format("r-%d", phase);

		if (!is_of_a_copy(phase))
			continue;
		bring_to(s, &m, phase);
		sql(s,
			"update public.volumes set previous_status = 'error',"
			" status = 'maintenance' where id = '%s'",
			s->volume);
		AUTO(free)
		char *before = sql_value(
			s, "select md5(string_agg(v::text, '')) from public.volumes v");
		refuse(s, id, true);
		refuse(s, "r1", true); /* the running one itself */
		assert_sql(s, before,
			"select md5(string_agg(v::text, '')) from public.volumes v");
		sql(s,
			"update public.volumes set status = 'available'"
			" where id = '%s'",
			s->volume);
	}
	assert_sql(s, "sealing",
		"select phase from drover.operation"
		" where request_id = 'r1'");
}

static void a_refusal_leaves_alone_a_volume_that_is_being_made(void **state)
{
	struct store *s = *state;
	enum admission admission;

	sql(s, "update public.volumes set status = 'creating'");
	ok(s, store_create_admit(s->db, s->volume, "r1", &admission, &s->err));
	sql(s, "update public.volumes set migration_status = 'starting'");
	refuse(s, "r2", false);
	assert_volume(s, s->volume, "creating|starting|" SOURCE);
}

static void a_request_during_settling_is_put_back(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SETTLING);
	ok(s,
		store_migration_begin(
			s->db, s->volume, SOURCE, true, DOWN_TIME, &s->err));
	assert_volume(s, s->volume, "maintenance|starting|" TARGET);
	refuse(s, "r2", false);
	assert_volume(s, s->volume, "available|-|" TARGET);
	bring_to(s, &m, PHASE_DONE);
}

static void refusing_what_is_not_there_does_nothing(void **state)
{
	struct store *s = *state;

	sql(s, "update public.volumes set host = null, migration_status = 'starting'");
	refuse(s, "r1", false);
	assert_volume(s, s->volume, "available|-|-");
	assert_sql(s, "0", "select count(*) from drover.operation");
	sql(s, "update public.volumes set deleted = true");
	refuse(s, "r1", false);
	assert_sql(s, "0", "select count(*) from drover.operation");
}

/* ---- cancel ---- */

static void cancelling_is_possible_until_the_switch(void **state)
{
	struct store *s = *state;
	struct migration m;

	assert_fails(s, store_migration_cancel(s->db, s->volume, &s->err),
		ERR_INVALID_VOLUME,
		"volume '%s' has no migration that could be cancelled", s->volume);
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	admit_migration(s, "r1", &m);
	for (enum phase phase = PHASE_QUEUED; phase <= PHASE_DONE; phase++) {
		if (!is_of_a_copy(phase))
			continue;
		bring_to(s, &m, phase);
		if (!phase_can_cancel(phase)) {
			assert_int_equal(
				store_migration_cancel(s->db, s->volume, &s->err), -1);
			continue;
		}
		sql(s,
			"update drover.operation set not_before = now() + interval"
			" '1 h'");
		ok(s, store_migration_cancel(s->db, s->volume, &s->err));
		ok(s, store_migration_cancel(s->db, s->volume, &s->err));
		assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
		/* It need not wait for its next try. */
		assert_sql(s, "t|t",
			"select concat_ws('|', cancel, not_before <= now())"
			" from drover.operation");
		sql(s, "update drover.operation set cancel = false");
	}
}

/* ---- lists ---- */

static void migrations_are_listed_newest_first(void **state)
{
	struct store *s = *state;
	AUTO(free) struct migration *list = NULL;
	AUTO(free) struct migration *unfinished = NULL;
	AUTO(free) struct migration *own = NULL;
	char other[UUID_TEXT_SIZE];
	struct migration m, none;

	refuse(s, "r1", false);
	admit_migration(s, "r2", &m);
	add_volume(s, "other", SOURCE, other);
	struct migration_request request = request_of(s, "r3");
	request.volume_id = other;
	enum admission admission;
	ok(s, store_migration_admit(s->db, &request, &admission, &s->err));

	assert_int_equal(
		store_migration_list(s->db, NULL, false, 10, &list, &s->err), 3);
	assert_string_equal(list[0].op.request_id, "r3");
	assert_string_equal(list[0].volume_name, "other");
	assert_string_equal(list[1].op.request_id, "r2");
	assert_string_equal(list[2].op.request_id, "r1");
	assert_int_equal(
		store_migration_list(s->db, NULL, true, 1, &unfinished, &s->err), 1);
	assert_string_equal(unfinished[0].op.request_id, "r3");
	assert_int_equal(
		store_migration_list(s->db, s->volume, false, 10, &own, &s->err), 2);
	/* The running one counts as the last, whatever came later. */
	refuse(s, "r4", false);
	assert_int_equal(store_migration_last(s->db, s->volume, &none, &s->err), 1);
	assert_string_equal(none.op.request_id, "r2");
	assert_int_equal(store_migration_get(s->db, OWNER, &none, &s->err), 0);
	assert_int_equal(store_migration_last(s->db, OWNER, &none, &s->err), 0);
}

static void space_is_reserved_until_the_target_is_there(void **state)
{
	struct store *s = *state;
	AUTO(free) struct reservation *queued = NULL;
	AUTO(free) struct reservation *made = NULL;
	AUTO(free) struct reservation *none = NULL;
	char other[UUID_TEXT_SIZE];
	enum admission admission;
	struct migration m;

	refuse(s, "refused", false);
	assert_int_equal(store_migration_reservations(s->db, &none, &s->err), 0);
	admit_migration(s, "r1", &m);
	add_volume(s, "other", SOURCE, other);
	struct migration_request request = request_of(s, "r2");
	request.volume_id = other;
	ok(s, store_migration_admit(s->db, &request, &admission, &s->err));
	assert_int_equal(store_migration_reservations(s->db, &queued, &s->err), 1);
	assert_string_equal(queued[0].target, TARGET);
	assert_int_equal(queued[0].size_gib, 4);
	/* The object is there: the pool's report knows of it. */
	bring_to(s, &m, PHASE_PREPARING);
	ok(s,
		store_object_plan(s->db, NULL, TARGET_BACKEND, "volume-t",
			m.temporary_id, &s->err));
	assert_int_equal(store_migration_reservations(s->db, &made, &s->err), 1);
	assert_int_equal(made[0].size_gib, 4);
	ok(s,
		store_object_identify(
			s->db, NULL, TARGET_BACKEND, "volume-t", "inode-1", &s->err));
	free(steal(made));
	assert_int_equal(store_migration_reservations(s->db, &made, &s->err), 1);
	assert_int_equal(made[0].size_gib, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(beginning_marks_the_volume),
		STORE_TEST(beginning_can_lock_the_volume),
		STORE_TEST(beginning_checks_first),
		STORE_TEST(admission_writes_everything_before_work_begins),
		STORE_TEST(the_name_of_the_source_object_is_remembered),
		STORE_TEST(a_request_is_known_in_every_phase),
		STORE_TEST(a_request_is_known_when_it_failed),
		STORE_TEST(of_two_requests_at_once_one_is_admitted),
		STORE_TEST(of_one_request_twice_at_once_one_is_a_duplicate),
		STORE_TEST(the_index_itself_lets_one_operation_in),
		STORE_TEST(a_refused_volume_is_as_it_was),
		STORE_TEST(a_refusal_is_a_finished_migration),
		STORE_TEST(a_refusal_leaves_alone_what_runs),
		STORE_TEST(a_refusal_leaves_alone_a_volume_that_is_being_made),
		STORE_TEST(a_request_during_settling_is_put_back),
		STORE_TEST(refusing_what_is_not_there_does_nothing),
		STORE_TEST(cancelling_is_possible_until_the_switch),
		STORE_TEST(migrations_are_listed_newest_first),
		STORE_TEST(space_is_reserved_until_the_target_is_there),
	};

	return STORE_MAIN(tests);
}
