/* SPDX-License-Identifier: Apache-2.0 */
/* The way back of a migration. */
#include "tests/integration/store_fixture.h"

static int roll_back(struct store *s, struct migration *m, enum phase to, bool keep)
{
	struct error why;

	error_set(&why, to == PHASE_FAILED ? ERR_BACKEND : ERR_CANCELLED,
		"the disk is on fire");
	return store_migration_roll_back(s->db, m, to, &why, keep, &s->err);
}

static void every_phase_before_the_switch_can_be_taken_back(void **state)
{
	static const enum phase ends[] = { PHASE_FAILED, PHASE_CANCELLED };
	struct store *s = *state;

	for (unsigned i = 0; i < 2 * PHASE_SETTLING; i++) {
		enum phase phase = i / 2, to = ends[i % 2];
		struct migration m;

		if (!is_of_a_copy(phase))
			continue;
		store_reset(state);
		admit_migration(s, "r1", &m);
		bring_to(s, &m, phase);
		ok(s, db_listen(s->second, DONE_CHANNEL, &s->err));
		ok(s, roll_back(s, &m, to, false));
		assert_int_equal(m.op.phase, to);
		assert_volume(s, s->volume, "available|-|" SOURCE);
		assert_notified(s, DONE_CHANNEL, s->volume);
		assert_sql(s, "0",
			"select count(*) from public.volumes"
			" where not deleted and id <> '%s'",
			s->volume);
		assert_sql(s, phase_name(to), "select phase from drover.operation");
		assert_sql(s,
			to == PHASE_FAILED ? "backend|the disk is on fire|t"
					   : "cancelled|the disk is on fire|t",
			"select concat_ws('|', error_code, reason, finished_at is not"
			" null) from drover.operation");
		/* From preparing on there may be something on the target. */
		assert_sql(s, phase == PHASE_QUEUED ? "0" : "1",
			"select count(*) from drover.garbage");
	}
}

static void after_the_switch_there_is_no_way_back(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	for (enum phase phase = PHASE_SETTLING; phase <= PHASE_DONE; phase++) {
		bring_to(s, &m, phase);
		AUTO(free) char *before = sql_everything(s);
		assert_fails(s, roll_back(s, &m, PHASE_FAILED, false), ERR_FENCED,
			"operation '%s' is in phase '%s' and cannot be taken back",
			m.op.id, phase_name(phase));
		AUTO(free) char *after = sql_everything(s);
		assert_string_equal(after, before);
	}
}

static void the_targets_object_becomes_garbage(void **state)
{
	struct store *s = *state;
	AUTO(free) struct garbage *list = NULL;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	ok(s, roll_back(s, &m, PHASE_FAILED, false));
	assert_int_equal(
		store_garbage_due(s->db, TARGET_BACKEND, 10, &list, &s->err), 1);
	assert_string_equal(list[0].identity, "inode-7");
	assert_string_equal(list[0].volume_id, m.temporary_id);
	assert_string_equal(list[0].operation_id, m.op.id);
	assert_string_equal(
		list[0].reason, "target of a migration that was taken back");
	assert_true(list[0].due);
	assert_int_equal(store_garbage_in_use(s->db, &list[0], &s->err), 0);
	/* Nothing of the source is. */
	assert_sql(s, "0",
		"select count(*) from drover.garbage"
		" where host = '" SOURCE_BACKEND "'");
}

static void the_result_is_kept_when_asked(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	ok(s, roll_back(s, &m, PHASE_FAILED, true));
	assert_volume(s, s->volume, "available|error|" SOURCE);
}

static void a_locked_volume_gets_its_status_back(void **state)
{
	struct store *s = *state;
	struct migration m;

	ok(s,
		store_migration_begin(
			s->db, s->volume, TARGET, true, DOWN_TIME, &s->err));
	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	ok(s, roll_back(s, &m, PHASE_CANCELLED, false));
	assert_volume(s, s->volume, "available|-|" SOURCE);
}

/* What others did to the volume meanwhile is theirs. */
static void what_others_wrote_stays(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	sql(s,
		"update public.volumes set status = 'reserved',"
		" migration_status = 'success' where id = '%s'",
		s->volume);
	ok(s, roll_back(s, &m, PHASE_FAILED, true));
	assert_volume(s, s->volume, "reserved|success|" SOURCE);
}

static void it_ends_also_when_the_volumes_are_gone(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	sql(s,
		"update public.volumes set deleted = true, status = 'deleted'"
		" where id = '%s'",
		s->volume);
	ok(s, roll_back(s, &m, PHASE_FAILED, false));
	assert_sql(s, "failed", "select phase from drover.operation");
	assert_sql(s, "0", "select count(*) from public.volumes where not deleted");
	assert_sql(s, "1", "select count(*) from drover.garbage");

	store_reset(state);
	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	sql(s, "update public.volumes set deleted = true where id = '%s'",
		m.temporary_id);
	ok(s, roll_back(s, &m, PHASE_FAILED, false));
	assert_volume(s, s->volume, "available|-|" SOURCE);
	assert_sql(s, "0", "select count(*) from drover.garbage");
}

static void the_volume_can_be_migrated_again(void **state)
{
	struct store *s = *state;
	struct migration m, again;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	ok(s, roll_back(s, &m, PHASE_FAILED, true));
	admit_migration(s, "r2", &again);
	assert_string_not_equal(again.temporary_id, m.temporary_id);
	ok(s, store_migration_prepare(s->db, &again, &s->err));
	assert_volume(s, s->volume, "available|migrating|" SOURCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(every_phase_before_the_switch_can_be_taken_back),
		STORE_TEST(after_the_switch_there_is_no_way_back),
		STORE_TEST(the_targets_object_becomes_garbage),
		STORE_TEST(the_result_is_kept_when_asked),
		STORE_TEST(a_locked_volume_gets_its_status_back),
		STORE_TEST(what_others_wrote_stays),
		STORE_TEST(it_ends_also_when_the_volumes_are_gone),
		STORE_TEST(the_volume_can_be_migrated_again),
	};

	return STORE_MAIN(tests);
}
