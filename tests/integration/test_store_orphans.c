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
}

static int listed(struct store *s, struct orphan *out)
{
	AUTO(free) struct orphan *list = NULL;
	int count = ok(s, store_orphan_list(s->db, SECONDS, &list, &s->err));

	if (count > 0)
		*out = list[0];
	return count;
}

static void nobody_takes_what_has_a_host(void **state)
{
	struct store *s = *state;
	struct orphan orphan;
	struct migration m;

	admit_migration(s, "r1", &m);
	assert_int_equal(listed(s, &orphan), 0);
	silent_for(s, 290);
	assert_int_equal(listed(s, &orphan), 0);
}

static void a_silent_hosts_migration_is_taken_back_in_every_phase(void **state)
{
	struct store *s = *state;

	for (enum phase phase = PHASE_QUEUED; phase < PHASE_SETTLING; phase++) {
		struct orphan orphan;
		struct migration m;

		if (phase == PHASE_WORKING)
			continue;
		store_reset(state);
		admit_migration(s, "r1", &m);
		bring_to(s, &m, phase);
		silent_for(s, 310);
		assert_int_equal(listed(s, &orphan), 1);
		assert_string_equal(orphan.volume_id, s->volume);
		assert_string_equal(orphan.host, SOURCE_BACKEND);
		assert_int_equal(ok(s,
					 store_orphan_take_back(s->db, &orphan, SECONDS,
						 false, &s->err)),
			1);
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
		assert_int_equal(listed(s, &orphan), 0);
	}
}

static void who_comes_back_in_time_keeps_it(void **state)
{
	struct store *s = *state;
	struct orphan orphan;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	silent_for(s, 310);
	assert_int_equal(listed(s, &orphan), 1);
	silent_for(s, -30);
	assert_int_equal(
		ok(s, store_orphan_take_back(s->db, &orphan, SECONDS, false, &s->err)),
		0);
	ok(s, store_migration_wanted(s->db, &m, &s->err));
}

static void after_the_switch_there_is_nothing_to_take_back(void **state)
{
	struct store *s = *state;
	struct orphan orphan;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SETTLING);
	silent_for(s, 310);
	assert_int_equal(listed(s, &orphan), 0);
}

static void a_request_that_died_with_its_host_is_set_back(void **state)
{
	struct store *s = *state;

	sql(s,
		"update public.volumes set migration_status = 'starting',"
		" updated_at = localtimestamp - interval '400 s' where id = '%s'",
		s->volume);
	assert_int_equal(ok(s,
				 store_migration_set_lost_back(
					 s->db, NULL, SECONDS, false, &s->err)),
		0);
	silent_for(s, 310);
	assert_int_equal(ok(s,
				 store_migration_set_lost_back(
					 s->db, NULL, SECONDS, false, &s->err)),
		1);
	assert_volume(s, s->volume, "available|-|" SOURCE);
	/* A host that Drover never had is nobody's business here. */
	sql(s, "delete from drover.manager where host = '%s'", SOURCE_BACKEND);
	sql(s,
		"update public.volumes set migration_status = 'starting',"
		" updated_at = localtimestamp - interval '400 s' where id = '%s'",
		s->volume);
	assert_int_equal(ok(s,
				 store_migration_set_lost_back(
					 s->db, NULL, SECONDS, false, &s->err)),
		0);
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
		STORE_TEST(nobody_takes_what_has_a_host),
		STORE_TEST(a_silent_hosts_migration_is_taken_back_in_every_phase),
		STORE_TEST(who_comes_back_in_time_keeps_it),
		STORE_TEST(after_the_switch_there_is_nothing_to_take_back),
		STORE_TEST(a_request_that_died_with_its_host_is_set_back),
		STORE_TEST(no_two_claims_are_alike),
	};

	return STORE_MAIN(tests);
}
