/* SPDX-License-Identifier: Apache-2.0 */
/* The transactions of a migration's worker: what each writes, run twice, run by one that
 * was taken over. */
#include "tests/integration/store_fixture.h"

/* ---- what each writes ---- */

static void preparing_makes_the_row_of_the_temporary_volume(void **state)
{
	struct store *s = *state;
	struct migration m;

	sql(s,
		"update public.volumes set display_description = 'words',"
		" bootable = true, multiattach = true, provider_location = 'here',"
		" provider_id = 'p', provider_auth = 'secret', cluster_name = 'c',"
		" availability_zone = 'old', replication_status = 'disabled'");
	sql(s,
		"update public.services set availability_zone = 'new'"
		" where host = '" TARGET_BACKEND "'");
	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_PREPARING);
	assert_volume(s, s->volume, "available|migrating|" SOURCE);
	assert_sql(s,
		"t|t|t|t|t|t|2|creating|detached|data|words|t|t|" TARGET
		"|new|f|f|t|f|-|-|-|-|-",
		"select concat_ws('|', t.migration_status = 'target:' || s.id,"
		" t.user_id = s.user_id, t.project_id = s.project_id,"
		" t.volume_type_id = s.volume_type_id, t.created_at is not null,"
		" t.scheduled_at is not null, t.size, t.status, t.attach_status,"
		" t.display_name, t.display_description, t.bootable, t.multiattach,"
		" t.host, t.availability_zone, t.deleted, t.use_quota,"
		" t.service_uuid = (select uuid from public.services"
		"  where host = '" TARGET_BACKEND "'), t.shared_targets,"
		" coalesce(t.provider_location, '-'), coalesce(t.provider_id, '-'),"
		" coalesce(t.provider_auth, '-'), coalesce(t.cluster_name, '-'),"
		" coalesce(t._name_id, '-'))"
		" from public.volumes s join public.volumes t on t.id = '%s'"
		" where s.id = '%s'",
		m.temporary_id, s->volume);
}

static void preparing_checks_again(void **state)
{
	static const char *const changes[] = {
		"update public.volumes set size = 3",
		"update public.volumes set host = '" ELSEWHERE "'",
		"update public.volumes set _name_id = '" OWNER "'",
		"update public.volumes set status = 'deleting'",
	};
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
		sql(s, "create temp table before as select * from public.volumes");
		sql(s, "%s", changes[i]);
		assert_fails(s, store_migration_prepare(s->db, &m, &s->err),
			ERR_INVALID_VOLUME, NULL);
		assert_sql(s, "1", "select count(*) from public.volumes");
		sql(s, "delete from public.volumes");
		sql(s,
			"insert into public.volumes select * from before;"
			" drop table before");
	}
	add_snapshot(s, s->volume);
	assert_fails(s, store_migration_prepare(s->db, &m, &s->err), ERR_INVALID_VOLUME,
		"volume 'data' got snapshots meanwhile");
	sql(s, "delete from public.snapshots");
	bring_to(s, &m, PHASE_PREPARING);
}

static void copying_begins_with_a_route(void **state)
{
	struct store *s = *state;
	struct migration m, read;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_PREPARING);
	ok(s, store_migration_start_copy(s->db, &m, "driver", &s->err));
	assert_string_equal(m.route, "driver");
	assert_sql(s, "available|t",
		"select status || '|' ||"
		" (launched_at is not null)::text::char"
		" from public.volumes where id = '%s'",
		m.temporary_id);
	ok(s, store_migration_set_route(s->db, &m, "copy", &s->err));
	assert_string_equal(m.route, "copy");
	assert_int_equal(store_migration_get(s->db, m.op.id, &read, &s->err), 1);
	assert_string_equal(read.route, "copy");
	assert_volume(s, s->volume, "available|migrating|" SOURCE);
	bring_to(s, &m, PHASE_SEALING);
	assert_fails(s, store_migration_set_route(s->db, &m, "driver", &s->err),
		ERR_FENCED, NULL);
}

static void progress_and_checkpoints_are_kept(void **state)
{
	struct store *s = *state;
	struct migration m, read;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	sql(s, "update drover.operation set attempts = 3");
	m.position = 1000;
	m.copied = 600;
	m.skipped = 400;
	m.rate = 12.5;
	ok(s, store_migration_progress(s->db, &m, &s->err));
	assert_int_equal(store_migration_get(s->db, m.op.id, &read, &s->err), 1);
	assert_int_equal(read.position, 1000);
	assert_int_equal(read.copied, 600);
	assert_int_equal(read.skipped, 400);
	assert_true(read.rate == 12.5);
	assert_int_equal(read.checkpoint, 0);
	assert_int_equal(read.op.attempts, 3);
	assert_true(read.age_s >= read.copy_s && read.copy_s >= 0);
	ok(s, store_migration_checkpoint(s->db, &m, 4096, "chain", &s->err));
	assert_int_equal(m.checkpoint, 4096);
	assert_string_equal(m.digest, "chain");
	assert_int_equal(store_migration_get(s->db, m.op.id, &read, &s->err), 1);
	assert_int_equal(read.checkpoint, 4096);
	assert_int_equal(read.position, 4096);
	assert_string_equal(read.digest, "chain");
	/* It gets on: earlier deaths do not count any more. */
	assert_int_equal(read.op.attempts, 0);
	/* Beyond the volume's end is a mistake that the table refuses. */
	assert_fails(s,
		store_migration_checkpoint(
			s->db, &m, (INT64_C(2) << 30) + 1, "x", &s->err),
		ERR_DATABASE, NULL);
	assert_int_equal(m.checkpoint, 4096);
}

static void a_copy_notices_that_it_is_cancelled(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	/* An administrator's reset stops it, too. */
	sql(s, "update public.volumes set migration_status = null where id = '%s'",
		s->volume);
	assert_fails(s, store_migration_progress(s->db, &m, &s->err), ERR_CANCELLED,
		"the migration was cancelled");
	sql(s,
		"update public.volumes set migration_status = 'migrating'"
		" where id = '%s'",
		s->volume);
	ok(s, store_migration_progress(s->db, &m, &s->err));
	ok(s, store_migration_cancel(s->db, s->volume, &s->err));
	assert_fails(
		s, store_migration_progress(s->db, &m, &s->err), ERR_CANCELLED, NULL);
	assert_fails(s, store_migration_checkpoint(s->db, &m, 4096, "x", &s->err),
		ERR_CANCELLED, NULL);
	assert_int_equal(m.checkpoint, 0);
	assert_fails(s, store_migration_seal(s->db, &m, "x", &s->err), ERR_CANCELLED,
		"the migration was cancelled");
}

static void sealing_stores_the_receipt(void **state)
{
	struct store *s = *state;
	struct migration m, read;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	m.copied = 5;
	m.skipped = 6;
	assert_int_equal(store_migration_seal(s->db, &m, "the digest", &s->err), 0);
	assert_volume(s, s->volume, "available|completing|" SOURCE);
	assert_int_equal(store_migration_get(s->db, m.op.id, &read, &s->err), 1);
	assert_string_equal(read.digest, "the digest");
	assert_int_equal(read.checkpoint, read.size_bytes);
	assert_int_equal(read.position, read.size_bytes);
	assert_int_equal(read.copied, 5);
	assert_int_equal(read.skipped, 6);
	assert_int_equal(read.op.phase, PHASE_SEALING);
}

static void every_step_is_history(void **state)
{
	struct store *s = *state;
	AUTO(free) struct transition *list = NULL;
	AUTO(free) struct transition *none = NULL;
	struct migration m;

	ok(s, db_listen(s->second, DONE_CHANNEL, &s->err));
	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_DONE);
	assert_notified(s, DONE_CHANNEL, s->volume);
	assert_int_equal(store_history(s->db, m.op.id, &list, &s->err), 5);
	for (int i = 0; i < 5; i++) {
		const struct phase_step *step = phase_step_find("migrate_volume",
			phase_from_name(list[i].from), phase_from_name(list[i].to));

		assert_non_null(step);
		assert_string_equal(list[i].why, step->why);
		assert_int_equal(epoch_number(list[i].epoch), 1);
		assert_int_equal(strlen(list[i].at), 26);
		if (i > 0)
			assert_string_equal(list[i].from, list[i - 1].to);
	}
	assert_string_equal(list[4].to, "done");
	assert_int_equal(store_history(s->db, OWNER, &none, &s->err), 0);
	assert_sql(s, "t|-",
		"select concat_ws('|', finished_at is not null,"
		" coalesce(reason, '-')) from drover.operation");
}

static void exports_are_asked_to_close(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SEALING);
	assert_int_equal(store_migration_exports_closed(s->db, &m, &s->err), 1);
	sql(s,
		"insert into drover.export (id, volume_id, host, kind, peer) values"
		" (gen_random_uuid(), '%s', '" TARGET_BACKEND "', 'migration', 'x')",
		m.temporary_id);
	assert_int_equal(store_migration_exports_closed(s->db, &m, &s->err), 0);
	assert_sql(s, "closing", "select state from drover.export");
	assert_int_equal(store_migration_exports_closed(s->db, &m, &s->err), 0);
	sql(s, "update drover.export set state = 'closed', closed_at = now()");
	assert_int_equal(store_migration_exports_closed(s->db, &m, &s->err), 1);
	/* A user's is not closed for him; it is waited for. */
	sql(s,
		"insert into drover.export (id, volume_id, host, kind, peer) values"
		" (gen_random_uuid(), '%s', '" SOURCE_BACKEND "', 'attachment', 'x')",
		s->volume);
	assert_int_equal(store_migration_exports_closed(s->db, &m, &s->err), 0);
	assert_sql(
		s, "wanted", "select state from drover.export where closed_at is null");
}

/* ---- twice ---- */

static int to_preparing(struct store *s, struct migration *m)
{
	return store_migration_prepare(s->db, m, &s->err);
}

static int to_copying(struct store *s, struct migration *m)
{
	return store_migration_start_copy(s->db, m, "copy", &s->err);
}

static int to_sealing(struct store *s, struct migration *m)
{
	return store_migration_seal(s->db, m, "receipt", &s->err);
}

static int to_settling(struct store *s, struct migration *m)
{
	return store_migration_switch(s->db, m, false, 0, &s->err);
}

static int to_done(struct store *s, struct migration *m)
{
	return store_migration_done(s->db, m, &s->err);
}

static int to_failed(struct store *s, struct migration *m)
{
	struct error why;

	error_set(&why, ERR_BACKEND, "the disk is on fire");
	return store_migration_roll_back(s->db, m, PHASE_FAILED, &why, false, &s->err);
}

static const struct {
	enum phase from;
	int (*run)(struct store *s, struct migration *m);
	enum phase to;
} steps[] = {
	{ PHASE_QUEUED, to_preparing, PHASE_PREPARING },
	{ PHASE_PREPARING, to_copying, PHASE_COPYING },
	{ PHASE_COPYING, to_sealing, PHASE_SEALING },
	{ PHASE_SEALING, to_settling, PHASE_SETTLING },
	{ PHASE_SETTLING, to_done, PHASE_DONE },
	{ PHASE_COPYING, to_failed, PHASE_FAILED },
};

/* The commit was made but its answer was lost, so the worker calls again: with what it
 * knew before, or with what the first call has put into the struct. */
static void each_step_run_twice_has_one_effect(void **state)
{
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		struct migration m, stale;

		store_reset(state);
		admit_migration(s, "r1", &m);
		bring_to(s, &m, steps[i].from);
		stale = m;
		ok(s, steps[i].run(s, &m));
		assert_int_equal(m.op.phase, steps[i].to);
		AUTO(free) char *once = sql_everything(s);
		ok(s, steps[i].run(s, &m));
		assert_int_equal(m.op.phase, steps[i].to);
		ok(s, steps[i].run(s, &stale));
		assert_int_equal(stale.op.phase, steps[i].to);
		AUTO(free) char *thrice = sql_everything(s);
		assert_string_equal(thrice, once);
	}
}

/* The commit was not made, but the struct says already what it would have done. */
static void each_step_is_made_when_the_first_commit_was_not(void **state)
{
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		struct migration m;

		store_reset(state);
		admit_migration(s, "r1", &m);
		bring_to(s, &m, steps[i].from);
		m.op.phase = steps[i].to;
		ok(s, steps[i].run(s, &m));
		assert_int_equal(m.op.phase, steps[i].to);
		assert_sql(s, phase_name(steps[i].to),
			"select phase from drover.operation");
	}
}

/* ---- fenced ---- */

static void who_was_taken_over_can_do_nothing(void **state)
{
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		struct migration old, m;

		store_reset(state);
		admit_migration(s, "r1", &old);
		bring_to(s, &old, steps[i].from);
		m = old;
		claim(s, &m);
		assert_int_equal(
			epoch_number(m.op.epoch), epoch_number(old.op.epoch) + 1);
		AUTO(free) char *before = sql_everything(s);
		assert_int_equal(steps[i].run(s, &old), -1);
		assert_error(&s->err, ERR_FENCED,
			"operation '%s' was taken over (claim 2, ours is 1)", m.op.id);
		assert_int_equal(store_migration_progress(s->db, &old, &s->err), -1);
		assert_error(&s->err, ERR_FENCED, NULL);
		assert_int_equal(
			store_migration_checkpoint(s->db, &old, 1, "x", &s->err), -1);
		assert_error(&s->err, ERR_FENCED, NULL);
		assert_int_equal(
			store_migration_set_route(s->db, &old, "driver", &s->err), -1);
		assert_error(&s->err, ERR_FENCED, NULL);
		assert_int_equal(store_operation_delay(s->db, &old.op, 60, &s->err), 0);
		AUTO(free) char *after = sql_everything(s);
		assert_string_equal(after, before);
		ok(s, steps[i].run(s, &m));
	}
}

static void a_reset_migration_status_stops_every_step(void **state)
{
	struct store *s = *state;

	for (unsigned i = 0; i < 4; i++) {
		struct migration m;

		store_reset(state);
		admit_migration(s, "r1", &m);
		bring_to(s, &m, steps[i].from);
		sql(s,
			"update public.volumes set migration_status = null"
			" where id = '%s'",
			s->volume);
		AUTO(free) char *before = sql_everything(s);
		assert_fails(s, steps[i].run(s, &m), ERR_CANCELLED,
			"migration_status of volume 'data' was changed from '%s' to ''",
			phase_migration_status(steps[i].from));
		AUTO(free) char *after = sql_everything(s);
		assert_string_equal(after, before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(preparing_makes_the_row_of_the_temporary_volume),
		STORE_TEST(preparing_checks_again),
		STORE_TEST(copying_begins_with_a_route),
		STORE_TEST(progress_and_checkpoints_are_kept),
		STORE_TEST(a_copy_notices_that_it_is_cancelled),
		STORE_TEST(sealing_stores_the_receipt),
		STORE_TEST(every_step_is_history),
		STORE_TEST(exports_are_asked_to_close),
		STORE_TEST(each_step_run_twice_has_one_effect),
		STORE_TEST(each_step_is_made_when_the_first_commit_was_not),
		STORE_TEST(who_was_taken_over_can_do_nothing),
		STORE_TEST(a_reset_migration_status_stops_every_step),
	};

	return STORE_MAIN(tests);
}
