/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations of hosts that are gone, and requests that these have lost. */
#include <stdlib.h>

#include "common/store/orphans.h"
#include "tests/integration/store_fixture.h"

#define SECONDS 300.0

/* The source's manager has had no lease for so many seconds. */
static void silent_for(struct store *s, int seconds)
{
	sql(s,
		"update drover.manager set expires_at = now() - interval '%d s'"
		" where host = '%s'",
		seconds, SOURCE_BACKEND);
	/* The heartbeats of its service ended long before. */
	sql(s,
		"update public.services set updated_at = localtimestamp - interval '1 h'"
		" where host = '%s'",
		SOURCE_BACKEND);
}

/* 1 when the source is silent. */
static int silent(struct store *s, struct silent *out)
{
	AUTO(free) struct silent *list = NULL;
	int count = ok(s, store_silent_list(s->db, &list, &s->err));

	if (count > 0)
		*out = list[0];
	return count;
}

static int orphans(struct store *s, const struct silent *silent, struct orphan *out)
{
	AUTO(free) struct orphan *list = NULL;
	int count = ok(s, store_orphan_list(s->db, silent, &list, &s->err));

	if (count > 0)
		*out = list[0];
	return count;
}

static int take_back(
	struct store *s, const struct silent *silent, const struct orphan *orphan)
{
	return ok(s,
		store_orphan_take_back(s->db, orphan, silent, SECONDS, false, &s->err));
}

static void nobody_is_silent_who_has_a_lease(void **state)
{
	struct store *s = *state;
	struct silent source;
	struct migration m;

	silent_for(s, 10);
	/* Nothing waits for it. */
	assert_int_equal(silent(s, &source), 0);
	store_reset(state);
	admit_migration(s, "r1", &m);
	silent_for(s, 10);
	assert_int_equal(silent(s, &source), 1);
	assert_string_equal(source.host, SOURCE_BACKEND);
	assert_false(source.released);
	silent_for(s, -30);
	assert_int_equal(silent(s, &source), 0);
	ok(s, store_lease_release(s->db, SOURCE_BACKEND, OWNER, &s->err));
	assert_int_equal(silent(s, &source), 1);
	assert_true(source.released);
	/* A Python service has taken it over. */
	sql(s, "update public.services set updated_at = localtimestamp");
	assert_int_equal(silent(s, &source), 0);
}

static void a_silent_hosts_migration_is_taken_back_in_every_phase(void **state)
{
	struct store *s = *state;

	for (enum phase phase = PHASE_QUEUED; phase < PHASE_SETTLING; phase++) {
		struct silent source;
		struct orphan orphan;
		struct migration m;

		if (!is_of_a_copy(phase))
			continue;
		store_reset(state);
		admit_migration(s, "r1", &m);
		bring_to(s, &m, phase);
		silent_for(s, 310);
		assert_int_equal(silent(s, &source), 1);
		assert_int_equal(orphans(s, &source, &orphan), 1);
		assert_string_equal(orphan.volume_id, s->volume);
		assert_int_equal(take_back(s, &source, &orphan), 1);
		assert_volume(s, s->volume, "available|-|" SOURCE);
		assert_sql(s,
			"failed|timeout|the manager of '" SOURCE_BACKEND
			"' has been silent for more than 300 s",
			"select concat_ws('|', phase, error_code, reason)"
			" from drover.operation where kind = 'migrate_volume'");
		assert_sql(s, phase == PHASE_QUEUED ? "0" : "1",
			"select count(*) from drover.garbage");
		/* Its worker lives on after all: it can change nothing. */
		assert_fails(s, store_migration_wanted(s->db, &m, &s->err), ERR_FENCED,
			NULL);
		assert_int_equal(take_back(s, &source, &orphan), 0);
	}
}

static void who_comes_back_in_time_keeps_it(void **state)
{
	struct store *s = *state;
	struct silent source;
	struct orphan orphan;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	silent_for(s, 310);
	assert_int_equal(silent(s, &source), 1);
	assert_int_equal(orphans(s, &source, &orphan), 1);
	silent_for(s, -30);
	assert_int_equal(take_back(s, &source, &orphan), 0);
	/* Silent once more: it has shown a sign of life all the same. */
	silent_for(s, 1);
	assert_int_equal(take_back(s, &source, &orphan), 0);
	ok(s, store_migration_wanted(s->db, &m, &s->err));
}

static void after_the_switch_there_is_nothing_to_take_back(void **state)
{
	struct store *s = *state;
	struct silent source;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SETTLING);
	silent_for(s, 310);
	assert_int_equal(silent(s, &source), 0);
}

static int due(struct store *s)
{
	AUTO(free) struct garbage *list = NULL;

	return ok(s, store_garbage_due(s->db, TARGET_BACKEND, 10, &list, &s->err));
}

/* It may be all that is left. */
static void what_was_copied_is_kept_while_its_source_is_silent(void **state)
{
	struct store *s = *state;
	struct silent source;
	struct orphan orphan;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SEALING);
	silent_for(s, 310);
	assert_int_equal(silent(s, &source), 1);
	assert_int_equal(orphans(s, &source, &orphan), 1);
	assert_int_equal(take_back(s, &source, &orphan), 1);
	assert_int_equal(due(s), 1);
	sql(s, "update drover.garbage set state = 'renamed', not_before = now()");
	assert_int_equal(due(s), 0);
	silent_for(s, -30);
	assert_int_equal(due(s), 1);
}

static void a_request_that_died_with_its_host_is_seen(void **state)
{
	struct store *s = *state;
	struct silent source;

	silent_for(s, 310);
	sql(s,
		"update public.volumes set migration_status = 'starting',"
		" updated_at = localtimestamp - interval '400 s' where id = '%s'",
		s->volume);
	assert_int_equal(silent(s, &source), 1);
	assert_int_equal(ok(s,
				 store_migration_set_lost_back(
					 s->db, source.host, SECONDS, false, &s->err)),
		1);
	assert_volume(s, s->volume, "available|-|" SOURCE);
	assert_int_equal(silent(s, &source), 0);
}

static void no_two_claims_are_alike(void **state)
{
	struct store *s = *state;
	struct migration m;
	int64_t first;

	admit_migration(s, "r1", &m);
	first = m.op.epoch;
	/* A fail-over has forgotten the claim, and it is made again. */
	sql(s, "update drover.operation set epoch = 0");
	claim(s, &m);
	assert_int_equal(epoch_number(first), 1);
	assert_int_equal(epoch_number(m.op.epoch), 1);
	assert_int_not_equal(first, m.op.epoch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(nobody_is_silent_who_has_a_lease),
		STORE_TEST(a_silent_hosts_migration_is_taken_back_in_every_phase),
		STORE_TEST(who_comes_back_in_time_keeps_it),
		STORE_TEST(after_the_switch_there_is_nothing_to_take_back),
		STORE_TEST(what_was_copied_is_kept_while_its_source_is_silent),
		STORE_TEST(a_request_that_died_with_its_host_is_seen),
		STORE_TEST(no_two_claims_are_alike),
	};

	return STORE_MAIN(tests);
}
