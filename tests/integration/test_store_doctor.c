/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the way of Cinder's own services, each thing alone. */
#include "common/store/doctor.h"
#include "tests/integration/store_fixture.h"

static void nothing(struct store *s)
{
	AUTO(free) struct obstacle *list = NULL;

	assert_int_equal(ok(s, store_obstacles(s->db, &list, &s->err)), 0);
}

/* There is one thing only, and it is this. */
static void only(struct store *s, const char *kind, const char *name, const char *what,
	const char *next)
{
	AUTO(free) struct obstacle *list = NULL;

	assert_int_equal(ok(s, store_obstacles(s->db, &list, &s->err)), 1);
	assert_string_equal(list[0].kind, kind);
	assert_string_equal(list[0].name, name);
	assert_non_null(strstr(list[0].what, what));
	assert_non_null(strstr(list[0].next, next));
}

/* As after a stop: the leases are released, and the volume is on a share. */
static void leave(struct store *s)
{
	sql(s, "update drover.manager set pid = 0, expires_at = now() - interval '1 s'");
	sql(s, "update public.volumes set provider_location = 'nas:/export'");
}

static void a_quiet_installation_is_ready(void **state)
{
	struct store *s = *state;

	leave(s);
	nothing(s);
}

static void managers_that_run_are_named(void **state)
{
	struct store *s = *state;

	leave(s);
	sql(s,
		"update drover.manager set pid = 7, expires_at = now() + interval '1 min'"
		" where host = '" SOURCE_BACKEND "'");
	only(s, "manager", SOURCE_BACKEND, "is run by", "stop it");
}

static void work_that_is_not_finished(void **state)
{
	struct store *s = *state;
	struct migration m;

	leave(s);
	sql(s, "update drover.manager set pid = 7, expires_at = now() + interval '1 min'");
	admit_migration(s, "req-1", &m);
	leave(s);
	sql(s, "update public.volumes set migration_status = null");
	only(s, "operation", m.op.id, "is queued", "drover cancel");
}

static void volumes_that_somebody_works_on(void **state)
{
	static const char *const changes[] = { "status = 'deleting'",
		"migration_status = 'migrating'", "migration_status = 'target:x'" };
	struct store *s = *state;

	leave(s);
	for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
		sql(s,
			"update public.volumes set status = 'available',"
			" migration_status = null");
		nothing(s);
		sql(s, "update public.volumes set %s", changes[i]);
		only(s, "volume", s->volume, "somebody works on it", "reset-state");
	}
}

static void snapshots_that_cinder_cannot_read(void **state)
{
	struct store *s = *state;
	AUTO(free) char *id = NULL;

	leave(s);
	add_snapshot(s, s->volume);
	nothing(s);
	id = sql_value(s, "select id from public.snapshots where not deleted");
	sql(s,
		"insert into drover.object (host, name, volume_id, identity)"
		" values ('" SOURCE_BACKEND "', 'snapshot-x', '%s', 'i')",
		id);
	only(s, "snapshot", id, "made by Drover", "snapshot-delete");
	sql(s, "update public.snapshots set deleted = true");
	nothing(s);
}

static void leftovers_and_exports(void **state)
{
	struct store *s = *state;
	AUTO(free) char *id = NULL;

	leave(s);
	sql(s,
		"insert into drover.garbage (host, name, trash_name, volume_id, reason)"
		" values ('" SOURCE_BACKEND "', 'old', 'trash', '%s', 'moved')",
		s->volume);
	only(s, "leftover", "old", "not removed yet", "garbage remove");
	sql(s, "update drover.garbage set state = 'removed', removed_at = now()");
	nothing(s);
	sql(s,
		"insert into drover.export (id, volume_id, host, kind, peer)"
		" values (gen_random_uuid(), '%s', '" SOURCE_BACKEND
		"', 'attachment', 'node7')",
		s->volume);
	id = sql_value(s, "select id::text from drover.export");
	only(s, "export", id, "open for node7", "drover disconnect");
}

static void volumes_that_no_driver_of_cinder_finds(void **state)
{
	struct store *s = *state;

	leave(s);
	sql(s, "update public.volumes set provider_location = null");
	only(s, "volume", s->volume, "provider_location", "drover migrate");
	/* Another service's volume. */
	sql(s, "update public.volumes set host = 'nova@lvm#lvm'");
	nothing(s);
}

static void troubles_are_what_is_tried_in_vain(void **state)
{
	struct store *s = *state;
	AUTO(free) struct obstacle *list = NULL;
	AUTO(free) struct obstacle *more = NULL;
	struct migration m;

	admit_migration(s, "req-1", &m);
	assert_int_equal(ok(s, store_troubles(s->db, &list, &s->err)), 0);
	sql(s, "update drover.operation set attempts = 3, reason = 'no such disk'");
	assert_int_equal(ok(s, store_troubles(s->db, &more, &s->err)), 1);
	assert_string_equal(more[0].name, m.op.id);
	assert_non_null(strstr(more[0].what, "no such disk"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STORE_TEST(a_quiet_installation_is_ready),
		STORE_TEST(managers_that_run_are_named),
		STORE_TEST(work_that_is_not_finished),
		STORE_TEST(volumes_that_somebody_works_on),
		STORE_TEST(snapshots_that_cinder_cannot_read),
		STORE_TEST(leftovers_and_exports),
		STORE_TEST(volumes_that_no_driver_of_cinder_finds),
		STORE_TEST(troubles_are_what_is_tried_in_vain),
	};

	return STORE_MAIN(tests);
}
