/* SPDX-License-Identifier: Apache-2.0 */
/* Every reason for which a migration is refused, and what is no reason. */
#include "tests/integration/store_fixture.h"

static int check(struct store *s, const char *target, bool starting)
{
	struct address address;
	struct volume volume;

	assert_int_equal(store_volume_get(s->db, s->volume, &volume, &s->err), 1);
	if (target)
		ok(s, address_parse(target, &address, &s->err));
	return store_migration_check(
		s->db, &volume, target ? &address : NULL, DOWN_TIME, starting, &s->err);
}

static void set_volume(struct store *s, const char *assignment)
{
	sql(s, "update public.volumes set %s where id = '%s'", assignment, s->volume);
}

#define CANNOT "volume 'data' cannot be migrated: "

static void an_idle_volume_may_move(void **state)
{
	struct store *s = *state;

	ok(s, check(s, TARGET, false));
	ok(s, check(s, TARGET_BACKEND, false));
	ok(s, check(s, NULL, false));
	ok(s, check(s, SOURCE_BACKEND "#another", false));
	/* Named by its id when it has no name. */
	set_volume(s, "display_name = null, status = 'error'");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		"volume '%s' cannot be migrated: its status is 'error', it must be "
		"available",
		s->volume);
}

static void snapshots_forbid_it(void **state)
{
	struct store *s = *state;

	add_snapshot(s, s->volume);
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it has snapshots");
	sql(s, "update public.snapshots set deleted = true");
	ok(s, check(s, TARGET, false));
}

static void groups_forbid_it(void **state)
{
	struct store *s = *state;

	sql(s,
		"insert into public.groups (id, deleted) values ('g', false);"
		" insert into public.consistencygroups (id, deleted)"
		" values ('c', false)");
	set_volume(s, "group_id = 'g'");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it is in a group");
	set_volume(s, "group_id = null, consistencygroup_id = 'c'");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it is in a group");
}

static void replication_forbids_it(void **state)
{
	struct store *s = *state;

	set_volume(s, "replication_status = 'enabled'");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it is replicated");
	set_volume(s, "replication_status = 'disabled'");
	ok(s, check(s, TARGET, false));
	set_volume(s, "replication_status = 'not-capable'");
	ok(s, check(s, TARGET, false));
}

static void a_format_other_than_raw_forbids_it(void **state)
{
	struct store *s = *state;

	sql(s,
		"insert into public.volume_admin_metadata (volume_id, key, value,"
		" deleted) values ('%s', 'format', 'qcow2', false)",
		s->volume);
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "its format is 'qcow2', not raw");
	sql(s, "update public.volume_admin_metadata set value = 'raw'");
	ok(s, check(s, TARGET, false));
	sql(s, "update public.volume_admin_metadata set value = 'vmdk', deleted = true");
	ok(s, check(s, TARGET, false));
}

static void attachments_forbid_it(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];

	set_volume(s, "status = 'in-use'");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it is attached to somebody; detach it first");
	add_attachment(s, s->volume, id);
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it is attached to host guest; detach it first");
	set_volume(s, "status = 'available'");
	sql(s, "update public.volume_attachment set instance_uuid = '%s'", OWNER);
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it is attached to server " OWNER "; detach it first");
	sql(s, "update public.volume_attachment set deleted = true");
	ok(s, check(s, TARGET, false));
}

static void add_export(struct store *s)
{
	sql(s,
		"insert into drover.export (id, volume_id, host, kind, peer) values"
		" (gen_random_uuid(), '%s', '" SOURCE_BACKEND "', 'attachment', 'x')",
		s->volume);
}

static void a_connection_forbids_it(void **state)
{
	struct store *s = *state;

	add_export(s);
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it is connected");
	sql(s, "update drover.export set state = 'closed', closed_at = now()");
	ok(s, check(s, TARGET, false));
}

static void only_an_available_volume_moves(void **state)
{
	static const char *const statuses[] = { "creating", "error", "deleting",
		"error_deleting", "managing", "attaching", "detaching", "maintenance",
		"restoring-backup", "error_restoring", "backing-up", "reserved",
		"awaiting-transfer", "uploading", "downloading", "retyping",
		"extending", "error_extending" };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(statuses); i++) {
		sql(s, "update public.volumes set status = '%s'", statuses[i]);
		assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
			CANNOT "its status is '%s', it must be available", statuses[i]);
	}
	/* lock_volume made it so, together with migration_status. */
	set_volume(s, "status = 'maintenance', migration_status = 'starting'");
	ok(s, check(s, TARGET, true));
}

static void a_migration_status_forbids_it(void **state)
{
	static const char *const busy[] = { "starting", "migrating", "completing" };
	static const char *const idle[] = { "", "deleting", "error", "success" };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(busy); i++) {
		sql(s, "update public.volumes set migration_status = '%s'", busy[i]);
		assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
			"volume 'data' is already migrating: its migration_status is "
			"'%s'",
			busy[i]);
		if (i > 0)
			assert_fails(
				s, check(s, TARGET, true), ERR_INVALID_VOLUME, NULL);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(idle); i++) {
		sql(s, "update public.volumes set migration_status = '%s'", idle[i]);
		ok(s, check(s, TARGET, false));
	}
	set_volume(s, "migration_status = 'target:' || id");
	assert_fails(s, check(s, TARGET, true), ERR_INVALID_VOLUME,
		CANNOT "it is the target of a migration");
}

static void unfinished_work_forbids_it(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	/* An administrator's reset does not make it idle. */
	set_volume(s, "migration_status = null");
	assert_fails(s, check(s, ELSEWHERE, false), ERR_INVALID_VOLUME,
		CANNOT "it is already migrating to '" TARGET "'");
	bring_to(s, &m, PHASE_QUEUED);
	sql(s,
		"delete from drover.migration; update drover.operation"
		" set kind = 'create_volume', phase = 'working'");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it is being created");
	sql(s,
		"update drover.operation set kind = 'migrate_volume',"
		" phase = 'settling'");
	ok(s, check(s, TARGET, false));
}

static void a_volume_stays_where_it_is(void **state)
{
	struct store *s = *state;

	assert_fails(s, check(s, SOURCE, false), ERR_INVALID_HOST,
		"volume 'data' is already on '" SOURCE "'");
	assert_fails(s, check(s, SOURCE_BACKEND, false), ERR_INVALID_HOST,
		"volume 'data' is already on '" SOURCE "'");
	set_volume(s, "host = '" SOURCE_BACKEND "'");
	assert_fails(s, check(s, SOURCE, false), ERR_INVALID_HOST,
		"volume 'data' is already on '" SOURCE_BACKEND "'");
	set_volume(s, "host = null");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_VOLUME,
		CANNOT "it is on no backend");
}

static void set_service(struct store *s, const char *backend, const char *assignment)
{
	sql(s, "update public.services set %s where host = '%s'", assignment, backend);
}

static void the_target_must_be_known_and_well(void **state)
{
	struct store *s = *state;

	assert_fails(s, check(s, "one@nowhere#p", false), ERR_INVALID_HOST,
		"target 'one@nowhere' is unknown; 'drover service list' shows all");
	set_service(s, TARGET_BACKEND, "updated_at = '2024-05-01 12:00:00.5'");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_HOST,
		"target '" TARGET_BACKEND "' is down: its last heartbeat was at "
		"2024-05-01T12:00:00.500000");
	set_service(s, TARGET_BACKEND, "updated_at = localtimestamp, disabled = true");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_HOST,
		"target '" TARGET_BACKEND "' is disabled");
	set_service(s, TARGET_BACKEND, "disabled_reason = 'new disks'");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_HOST,
		"target '" TARGET_BACKEND "' is disabled: new disks");
	set_service(s, TARGET_BACKEND, "disabled = false, frozen = true");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_HOST,
		"target '" TARGET_BACKEND "' is frozen");
	set_service(s, TARGET_BACKEND, "frozen = false, deleted = true");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_HOST,
		"target '" TARGET_BACKEND "' is unknown; "
		"'drover service list' shows all");
}

static void the_own_backend_must_be_up(void **state)
{
	struct store *s = *state;

	/* Disabled and frozen concern what comes, not what leaves. */
	set_service(s, SOURCE_BACKEND, "disabled = true, frozen = true");
	ok(s, check(s, TARGET, false));
	set_service(s, SOURCE_BACKEND, "updated_at = '2024-05-01 12:00:00'");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_HOST,
		"the volume's own backend '" SOURCE_BACKEND "' is down: its last "
		"heartbeat was at 2024-05-01T12:00:00.000000");
	assert_fails(s, check(s, NULL, false), ERR_INVALID_HOST, NULL);
	set_service(s, SOURCE_BACKEND, "deleted = true");
	assert_fails(s, check(s, TARGET, false), ERR_INVALID_HOST,
		"the volume's own backend '" SOURCE_BACKEND "' is unknown; "
		"'drover service list' shows all");
}

/* ---- what admission asks beyond that ---- */

static void admission_refuses(
	struct store *s, const char *target, enum error_code code, const char *text)
{
	struct migration_request request = request_of(s, "r1");
	AUTO(free) char *before = sql_everything(s);
	enum admission admission;

	request.target = target;
	assert_fails(s, store_migration_admit(s->db, &request, &admission, &s->err),
		code, "%s", text);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
}

static void the_source_has_a_manager_and_the_target_may_be_a_peers(void **state)
{
	struct store *s = *state;
	struct migration_request request = request_of(s, "r0");
	enum admission admission;

	sql(s, "delete from drover.manager where host = '" TARGET_BACKEND "'");
	ok(s, store_migration_admit(s->db, &request, &admission, &s->err));
	assert_sql(s, "t", "select bool_and(peer) from drover.migration");
	store_reset(state);
	/* A lease that ran out is none. */
	sql(s,
		"update drover.manager set expires_at = now() - interval '1 s'"
		" where host = '" SOURCE_BACKEND "'");
	admission_refuses(s, TARGET, ERR_INVALID_HOST,
		"no drover-volume-manager runs the volume's own backend "
		"'" SOURCE_BACKEND "'");
}

static void an_admitted_target_has_a_pool(void **state)
{
	struct store *s = *state;

	admission_refuses(s, TARGET_BACKEND, ERR_INVALID_HOST,
		"target '" TARGET_BACKEND "' names no pool: the scheduler chooses one");
	admission_refuses(s, "nonsense", ERR_INVALID_HOST,
		"'nonsense' is not a target: write host@backend or host@backend#pool");
}

static void what_the_check_refuses_is_not_admitted(void **state)
{
	struct store *s = *state;

	admission_refuses(s, "one@nowhere#p", ERR_INVALID_HOST,
		"target 'one@nowhere' is unknown; 'drover service list' shows all");
	add_snapshot(s, s->volume);
	admission_refuses(s, TARGET, ERR_INVALID_VOLUME, CANNOT "it has snapshots");
	sql(s, "update public.volumes set deleted = true");
	AUTO(free)
	char *text = text_format("volume '%s' could not be found", s->volume);
	admission_refuses(s, TARGET, ERR_VOLUME_NOT_FOUND, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(an_idle_volume_may_move),
		STORE_TEST(snapshots_forbid_it),
		STORE_TEST(groups_forbid_it),
		STORE_TEST(replication_forbids_it),
		STORE_TEST(a_format_other_than_raw_forbids_it),
		STORE_TEST(attachments_forbid_it),
		STORE_TEST(a_connection_forbids_it),
		STORE_TEST(only_an_available_volume_moves),
		STORE_TEST(a_migration_status_forbids_it),
		STORE_TEST(unfinished_work_forbids_it),
		STORE_TEST(a_volume_stays_where_it_is),
		STORE_TEST(the_target_must_be_known_and_well),
		STORE_TEST(the_own_backend_must_be_up),
		STORE_TEST(the_source_has_a_manager_and_the_target_may_be_a_peers),
		STORE_TEST(an_admitted_target_has_a_pool),
		STORE_TEST(what_the_check_refuses_is_not_admitted),
	};

	return STORE_MAIN(tests);
}
