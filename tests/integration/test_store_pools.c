/* SPDX-License-Identifier: Apache-2.0 */
/* What is on a pool, whether there is room, and requests that nobody took up. */
#include "tests/integration/store_fixture.h"

#include <pthread.h>

static struct pool_load find_load(struct store *s, const char *pool)
{
	AUTO(free) struct pool_load *list = NULL;
	int count = ok(s, store_pool_load(s->db, &list, &s->err));

	for (int i = 0; i < count; i++)
		if (strcmp(list[i].pool, pool) == 0)
			return list[i];
	return (struct pool_load) { .size_gib = 0 };
}

static int64_t load_of(struct store *s, const char *pool)
{
	return find_load(s, pool).size_gib;
}

static int64_t volumes_of(struct store *s, const char *pool)
{
	return find_load(s, pool).volumes;
}

static void the_load_of_a_pool_is_always_true(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];
	struct migration m;

	assert_int_equal(load_of(s, SOURCE), 2);
	assert_int_equal(load_of(s, TARGET), 0);
	assert_int_equal(volumes_of(s, SOURCE), 1);
	assert_int_equal(volumes_of(s, TARGET), 0);
	add_volume(s, "a", TARGET, id);
	sql(s, "update public.volumes set deleted = true where id = '%s'", id);
	add_volume(s, "b", TARGET, id);
	sql(s, "update public.volumes set size = 5, host = null where id = '%s'", id);
	assert_int_equal(load_of(s, TARGET), 0);
	/* Its place counts from admission to the end, and once. */
	admit_migration(s, "r1", &m);
	for (enum phase phase = PHASE_QUEUED; phase <= PHASE_DONE; phase++) {
		if (!is_of_a_copy(phase))
			continue;
		bring_to(s, &m, phase);
		assert_int_equal(load_of(s, TARGET), 2);
		assert_int_equal(load_of(s, SOURCE), phase < PHASE_SETTLING ? 2 : 0);
		assert_int_equal(volumes_of(s, TARGET), 1);
	}
}

static void admission_asks_for_room(void **state)
{
	struct store *s = *state;
	struct migration_request request = request_of(s, "r1");
	enum admission admission;
	char id[UUID_TEXT_SIZE];

	/* It saw 3 GiB and room for 4 more; since then 3 GiB came: 1 is left. */
	request.room_known = true;
	request.seen_gib = 3;
	request.room_gib = 4;
	for (int i = 0; i < 3; i++)
		add_volume(s, "other", TARGET, id);
	AUTO(free) char *before = sql_everything(s);
	assert_fails(s, store_migration_admit(s->db, &request, &admission, &s->err),
		ERR_DB_RETRY, "pool '" TARGET "' has no room for 2 GiB any more");
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
	sql(s, "update public.volumes set size = 1 where id = '%s'", id);
	ok(s, store_migration_admit(s->db, &request, &admission, &s->err));
	assert_int_equal(admission, ADMITTED);
	/* Known already: room is no question any more. */
	request.room_gib = 0;
	ok(s, store_migration_admit(s->db, &request, &admission, &s->err));
	assert_int_equal(admission, DUPLICATE);
}

struct requester {
	struct db *db;
	struct migration_request request;
	int result;
	struct error err;
};

static void *run_requester(void *arg)
{
	struct requester *r = arg;
	enum admission admission;

	r->result = store_migration_admit(r->db, &r->request, &admission, &r->err);
	return NULL;
}

/* Two schedulers choose the same pool, which takes one of the volumes. */
static void two_at_once_do_not_fill_a_pool_twice(void **state)
{
	struct store *s = *state;
	struct requester r[2];
	pthread_t threads[2];
	char other[UUID_TEXT_SIZE];

	add_volume(s, "other", SOURCE, other);
	sql(s, "begin");
	sql(s,
		"select pg_advisory_xact_lock("
		"hashtextextended('drover:target:" TARGET_BACKEND "', 0))");
	for (int i = 0; i < 2; i++) {
		r[i] = (struct requester) { .db = i ? s->second : s->db,
			.request = request_of(s, "r1") };
		r[i].request.room_known = true;
		r[i].request.room_gib = 3;
		if (i)
			r[i].request.volume_id = other;
		assert_int_equal(
			pthread_create(&threads[i], NULL, run_requester, &r[i]), 0);
	}
	wait_for_waiters(s, 2);
	sql(s, "commit");
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(r[0].result + r[1].result, -1);
	assert_int_equal(r[r[0].result < 0 ? 0 : 1].err.code, ERR_DB_RETRY);
	assert_sql(s, "1", "select count(*) from drover.operation");
}

static int set_lost_back(struct store *s, const char *backend, bool keep)
{
	return ok(s, store_migration_set_lost_back(s->db, backend, 60, keep, &s->err));
}

static void a_lost_request_is_set_back(void **state)
{
	struct store *s = *state;
	struct migration m;

	for (int keep = 0; keep < 2; keep++) {
		ok(s,
			store_migration_begin(
				s->db, s->volume, TARGET, true, DOWN_TIME, &s->err));
		/* It may still be under way. */
		assert_int_equal(set_lost_back(s, SOURCE_BACKEND, keep), 0);
		sql(s,
			"update public.volumes set updated_at = localtimestamp -"
			" interval '61 s'");
		assert_int_equal(set_lost_back(s, TARGET_BACKEND, keep), 0);
		assert_volume(s, s->volume, "maintenance|starting|" SOURCE);
		assert_int_equal(set_lost_back(s, SOURCE_BACKEND, keep), 1);
		assert_volume(s, s->volume,
			keep ? "available|error|" SOURCE : "available|-|" SOURCE);
		assert_int_equal(set_lost_back(s, SOURCE_BACKEND, keep), 0);
	}
	assert_int_equal(store_migration_last(s->db, s->volume, &m, &s->err), 1);
	assert_int_equal(m.op.phase, PHASE_FAILED);
	assert_string_equal(m.error_code, "timeout");
	AUTO(free)
	char *want = text_format(
		"the request to migrate volume '%s' was lost: nobody took it up",
		s->volume);
	assert_string_equal(m.op.reason, want);
}

static void what_was_taken_up_is_not_lost(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	sql(s, "update public.volumes set updated_at = '2000-01-01'");
	assert_int_equal(set_lost_back(s, SOURCE_BACKEND, false), 0);
	bring_to(s, &m, PHASE_COPYING);
	sql(s, "update public.volumes set updated_at = '2000-01-01'");
	assert_int_equal(set_lost_back(s, SOURCE_BACKEND, false), 0);
	assert_volume(s, s->volume, "available|migrating|" SOURCE);
	/* What only settles takes up nothing more. */
	bring_to(s, &m, PHASE_SETTLING);
	sql(s,
		"update public.volumes set migration_status = 'starting',"
		" updated_at = '2000-01-01'");
	assert_int_equal(set_lost_back(s, TARGET_BACKEND, false), 1);
	assert_volume(s, s->volume, "available|-|" TARGET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(the_load_of_a_pool_is_always_true),
		STORE_TEST(admission_asks_for_room),
		STORE_TEST(two_at_once_do_not_fill_a_pool_twice),
		STORE_TEST(a_lost_request_is_set_back),
		STORE_TEST(what_was_taken_up_is_not_lost),
	};

	return STORE_MAIN(tests);
}
