/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a migration may go: the limit and the pause, until when they may be changed, and
 * the limit that a request brings along. */
#include "common/store/compute.h"
#include "common/store/pace.h"
#include "tests/integration/store_fixture.h"

static struct volume volume_of(struct store *s)
{
	struct volume volume;

	assert_int_equal(store_volume_get(s->db, s->volume, &volume, &s->err), 1);
	return volume;
}

static int limit(struct store *s, int64_t rate)
{
	struct volume volume = volume_of(s);

	return store_pace_limit(s->db, &volume, rate, &s->err);
}

static int pause_it(struct store *s, bool paused)
{
	struct volume volume = volume_of(s);

	return store_pace_pause(s->db, &volume, paused, &s->err);
}

static void assert_pace(struct store *s, const struct migration *m, const char *want)
{
	assert_sql(s, want,
		"select coalesce(rate_limit::text, '-') || '|' || paused"
		" from drover.migration where operation_id = '%s'",
		m->op.id);
}

static void a_worker_hears_of_it_with_its_progress(void **state)
{
	struct store *s = *state;
	struct migration m;

	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	admit_migration(s, "r1", &m);
	assert_true(m.rate_limit == RATE_OF_BACKEND && !m.paused);
	ok(s, limit(s, INT64_C(5) << 40));
	ok(s, pause_it(s, true));
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	bring_to(s, &m, PHASE_PREPARING);
	/* When the copy begins. */
	bring_to(s, &m, PHASE_COPYING);
	assert_true(m.rate_limit == INT64_C(5) << 40 && m.paused);
	/* While it runs. */
	ok(s, limit(s, 0));
	ok(s, store_migration_progress(s->db, &m, &s->err));
	assert_true(m.rate_limit == 0 && m.paused);
	ok(s, pause_it(s, true));
	ok(s, pause_it(s, false));
	ok(s, pause_it(s, false));
	ok(s, store_migration_wanted(s->db, &m, &s->err));
	assert_true(m.rate_limit == 0 && !m.paused);
	ok(s, limit(s, RATE_OF_BACKEND));
	ok(s, store_migration_progress(s->db, &m, &s->err));
	assert_true(m.rate_limit == RATE_OF_BACKEND);
	/* What it hears of no more stays. */
	m.rate_limit = 77;
	ok(s, store_migration_cancel(s->db, s->volume, &s->err));
	assert_fails(
		s, store_migration_progress(s->db, &m, &s->err), ERR_CANCELLED, NULL);
	assert_true(m.rate_limit == 77);
}

static void what_is_paused_is_not_sealed(void **state)
{
	struct store *s = *state;
	struct migration m, read;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	ok(s, pause_it(s, true));
	AUTO(free) char *before = sql_everything(s);
	assert_int_equal(store_migration_seal(s->db, &m, "x", &s->err), 1);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
	assert_int_equal(m.op.phase, PHASE_COPYING);
	assert_int_equal(store_migration_last(s->db, s->volume, &read, &s->err), 1);
	assert_true(read.paused);
	ok(s, pause_it(s, false));
	bring_to(s, &m, PHASE_SEALING);
	/* One that has ended stands still no more than others. */
	sql(s, "update drover.migration set paused = true");
	bring_to(s, &m, PHASE_DONE);
	assert_int_equal(store_migration_last(s->db, s->volume, &read, &s->err), 1);
	assert_false(read.paused);
}

static void it_can_be_changed_until_all_is_copied(void **state)
{
	struct store *s = *state;
	struct migration m;

	assert_fails(s, limit(s, 5), ERR_INVALID_VOLUME,
		"volume 'data' is not being migrated");
	assert_fails(s, pause_it(s, false), ERR_INVALID_VOLUME,
		"volume 'data' is not being migrated");
	ok(s,
		store_migration_begin(
			s->db, s->volume, TARGET, false, DOWN_TIME, &s->err));
	assert_fails(s, pause_it(s, true), ERR_INVALID_VOLUME,
		"no scheduler has taken up the migration of volume 'data' yet: try again"
		" in a moment");
	admit_migration(s, "r1", &m);
	for (enum phase phase = PHASE_QUEUED; phase <= PHASE_DONE; phase++) {
		if (!is_of_a_copy(phase))
			continue;
		bring_to(s, &m, phase);
		if (phase <= PHASE_COPYING) {
			ok(s, limit(s, 1000 + (int64_t)phase));
			ok(s, pause_it(s, true));
			ok(s, pause_it(s, false));
		} else {
			assert_fails(s, limit(s, 5), ERR_INVALID_VOLUME,
				phase == PHASE_DONE
					? "volume 'data' is not being migrated"
					: "too late: all of volume 'data' is copied"
					  " already");
			assert_int_equal(pause_it(s, true), -1);
		}
	}
	AUTO(free) char *want = text_format("%d|false", 1000 + PHASE_COPYING);
	assert_pace(s, &m, want);
}

/* ---- attached volumes ---- */

static void attach(struct store *s, const char *api, struct migration *m)
{
	ok(s, store_compute_offer(s->db, SOURCE_BACKEND, OWNER, api, &s->err));
	sql(s,
		"insert into public.volume_attachment (id, volume_id, instance_uuid,"
		" attach_status, created_at, deleted) values (gen_random_uuid(), '%s',"
		" gen_random_uuid(), 'attached', localtimestamp, false)",
		s->volume);
	sql(s,
		"update public.volumes set attach_status = 'attached', status = 'in-use'"
		" where id = '%s'",
		s->volume);
	if (!m)
		return;
	admit_migration(s, "r1", m);
	ok(s, store_migration_prepare(s->db, m, &s->err));
	ok(s, store_swap_begin(s->db, m, &s->err));
}

static void nova_is_told_nothing(void **state)
{
	struct store *s = *state;
	struct migration m;

	attach(s, "nova", &m);
	assert_fails(s, limit(s, 5), ERR_INVALID_VOLUME,
		"Compute copies volume 'data': its rate cannot be changed");
	assert_fails(s, pause_it(s, true), ERR_INVALID_VOLUME,
		"Compute copies volume 'data': it cannot be paused");
	assert_pace(s, &m, "-|false");
}

static void a_hypervisor_is_told_of_a_rate(void **state)
{
	struct store *s = *state;
	struct migration m;
	struct swap swap;

	attach(s, "rpc", &m);
	assert_fails(s, pause_it(s, true), ERR_INVALID_VOLUME,
		"the hypervisor copies volume 'data' and cannot pause: 'drover rate data"
		" 1M' slows it down");
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.rate_limit == RATE_OF_BACKEND);
	ok(s, store_swap_later(s->db, &m, 3600, &s->err));
	assert_sql(s, "f", "select not_before <= now() from drover.operation");
	/* Nobody waits for the next look. */
	ok(s, limit(s, 1 << 20));
	assert_sql(s, "t", "select not_before <= now() from drover.operation");
	/* A look that was under way meanwhile has not seen it. */
	ok(s, store_swap_later(s->db, &m, 3600, &s->err));
	assert_sql(s, "t", "select not_before <= now() from drover.operation");
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.rate_limit == 1 << 20);
	ok(s, store_swap_later(s->db, &m, 3600, &s->err));
	assert_sql(s, "f", "select not_before <= now() from drover.operation");
	ok(s, store_swap_hold(s->db, &m, "who knows", &s->err));
	assert_fails(s, limit(s, 5), ERR_INVALID_VOLUME,
		"the migration of volume 'data' is held and nothing is copied: 'drover"
		" migration show data' tells why");
}

/* ---- wishes ---- */

static int begin_at(struct store *s, const char *request_id, int64_t rate)
{
	struct migration_wish wish = { request_id, rate };

	return store_migration_begin_with(
		s->db, s->volume, TARGET, false, DOWN_TIME, &wish, &s->err);
}

static void assert_wishes(struct store *s, const char *count)
{
	assert_sql(s, count, "select count(*) from drover.wish");
}

static void a_request_brings_its_limit_along(void **state)
{
	struct store *s = *state;
	struct migration m;

	ok(s, begin_at(s, "r1", 0));
	assert_wishes(s, "1");
	admit_migration(s, "r1", &m);
	assert_true(m.rate_limit == 0);
	assert_wishes(s, "0");
}

static void another_request_does_not_get_it(void **state)
{
	struct store *s = *state;
	struct migration m;

	ok(s, begin_at(s, "r1", 4096));
	admit_migration(s, "r2", &m);
	assert_true(m.rate_limit == RATE_OF_BACKEND);
	assert_wishes(s, "0");
}

static void refuse(struct store *s, const char *request_id)
{
	struct migration_request request = request_of(s, request_id);
	struct error why;

	error_set(&why, ERR_BACKEND, "no");
	ok(s, store_migration_refuse(s->db, &request, &why, &s->err));
}

static void a_refused_request_leaves_none(void **state)
{
	struct store *s = *state;

	ok(s, begin_at(s, "r1", 4096));
	refuse(s, "r0");
	assert_wishes(s, "1");
	sql(s, "update public.volumes set migration_status = 'starting'");
	refuse(s, "r1");
	assert_wishes(s, "0");
	assert_volume(s, s->volume, "available|-|" SOURCE);
}

static void a_lost_request_leaves_none(void **state)
{
	struct store *s = *state;

	ok(s, begin_at(s, "r1", 4096));
	sql(s, "update drover.wish set created_at = now() - interval '61 s'");
	ok(s, store_migration_set_lost_back(s->db, SOURCE_BACKEND, 60, false, &s->err));
	/* It may still be under way. */
	assert_wishes(s, "1");
	sql(s, "update public.volumes set updated_at = localtimestamp - interval '61 s'");
	assert_int_equal(store_migration_set_lost_back(
				 s->db, SOURCE_BACKEND, 60, false, &s->err),
		1);
	assert_wishes(s, "0");
	/* The newest request's counts. */
	ok(s, begin_at(s, "r2", 1));
	sql(s, "update public.volumes set migration_status = null");
	ok(s, begin_at(s, "r3", 2));
	assert_sql(
		s, "r3 2", "select request_id || ' ' || rate_limit from drover.wish");
}

static void a_limit_that_nobody_would_heed_is_refused(void **state)
{
	struct store *s = *state;
	AUTO(free) char *before = NULL;

	attach(s, "nova", NULL);
	before = sql_everything(s);
	assert_fails(s, begin_at(s, "r1", 5), ERR_INVALID_VOLUME,
		"Compute copies volume 'data': its rate cannot be chosen");
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
	ok(s, store_compute_offer(s->db, SOURCE_BACKEND, OWNER, "rpc", &s->err));
	ok(s, begin_at(s, "r1", 5));
	/* A Python service copies as it likes. */
	store_reset(state);
	sql(s, "delete from drover.manager where host = '" SOURCE_BACKEND "'");
	assert_fails(s, begin_at(s, "r1", 5), ERR_INVALID_VOLUME,
		"the backend of volume 'data' has no drover-volume-manager: the rate of"
		" its migrations cannot be chosen");
	assert_wishes(s, "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_worker_hears_of_it_with_its_progress),
		STORE_TEST(what_is_paused_is_not_sealed),
		STORE_TEST(it_can_be_changed_until_all_is_copied),
		STORE_TEST(nova_is_told_nothing),
		STORE_TEST(a_hypervisor_is_told_of_a_rate),
		STORE_TEST(a_request_brings_its_limit_along),
		STORE_TEST(another_request_does_not_get_it),
		STORE_TEST(a_refused_request_leaves_none),
		STORE_TEST(a_lost_request_leaves_none),
		STORE_TEST(a_limit_that_nobody_would_heed_is_refused),
	};

	return STORE_MAIN(tests);
}
