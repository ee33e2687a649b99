/* SPDX-License-Identifier: Apache-2.0 */
/* The switch: what moves, what stays, what forbids it; and the way back. */
#include "tests/integration/store_fixture.h"

static int switch_over(struct store *s, struct migration *m)
{
	return store_migration_switch(s->db, m, false, 0, &s->err);
}

static void remember(struct store *s)
{
	sql(s,
		"drop table if exists before;"
		" create temp table before as select v.id as volume_id,"
		"  (each_column).key, (each_column).value from public.volumes v,"
		"  lateral jsonb_each(to_jsonb(v)) as each_column");
}

/* Names of the columns of a volume that are not what they were. */
static void assert_changed(struct store *s, const char *volume_id, const char *names)
{
	assert_sql(s, names,
		"select coalesce(string_agg(b.key, ' ' order by b.key), '')"
		" from before b, public.volumes v,"
		" lateral jsonb_each(to_jsonb(v)) as now"
		" where v.id = '%s' and b.volume_id = v.id and now.key = b.key"
		" and now.value is distinct from b.value",
		volume_id);
}

/* Columns of T that no two volumes share, as drivers fill them in. */
static void place_target(struct store *s, const struct migration *m)
{
	sql(s,
		"update public.volumes set cluster_name = 'cluster',"
		" availability_zone = 'zone', shared_targets = true,"
		" provider_location = 'location', provider_id = 'pid',"
		" provider_auth = 'auth', provider_geometry = 'geometry',"
		" replication_status = 'disabled',"
		" replication_extended_status = 'extended',"
		" replication_driver_data = 'driver data',"
		" display_name = 'T', display_description = 'T', project_id = 'T',"
		" user_id = 'T', bootable = false, multiattach = true,"
		" previous_status = 'T', ec2_id = 'T', encryption_key_id = 'T',"
		" source_volid = 'T', snapshot_id = 'T', launched_at = now()"
		" where id = '%s'",
		m->temporary_id);
}

static void fill_source(struct store *s)
{
	sql(s,
		"update public.volumes set display_description = 'words',"
		" bootable = true, provider_location = 'old', launched_at = now()"
		" where id = '%s'",
		s->volume);
	sql(s,
		"insert into public.volume_metadata (volume_id, key, value, deleted)"
		" values ('%s', 'colour', 'blue', false)",
		s->volume);
	sql(s,
		"insert into public.volume_admin_metadata"
		" (volume_id, key, value, deleted) values"
		" ('%s', 'readonly', 'True', false), ('%s', 'format', 'raw', false)",
		s->volume, s->volume);
	sql(s,
		"insert into public.quota_usages (project_id, resource, in_use,"
		" reserved, deleted) values ('project', 'volumes', 5, 0, false),"
		" ('project', 'gigabytes', 50, 0, false)");
}

/* ---- what moves ---- */

static void the_switch_moves_placement_and_nothing_else(void **state)
{
	struct store *s = *state;
	struct migration m;

	fill_source(s);
	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SEALING);
	place_target(s, &m);
	remember(s);
	ok(s, switch_over(s, &m));
	assert_changed(s, s->volume,
		"_name_id availability_zone cluster_name host migration_status"
		" provider_auth provider_geometry provider_id provider_location"
		" replication_driver_data replication_extended_status"
		" replication_status service_uuid shared_targets updated_at");
	assert_sql(s,
		"t|" TARGET "|zone|cluster|auth|geometry|pid|location|driver data"
		"|extended|disabled|t|t|-|available",
		"select concat_ws('|', s._name_id = t.id, s.host, s.availability_zone,"
		" s.cluster_name, s.provider_auth, s.provider_geometry, s.provider_id,"
		" s.provider_location, s.replication_driver_data,"
		" s.replication_extended_status, s.replication_status,"
		" s.service_uuid = t.service_uuid, s.shared_targets,"
		" coalesce(s.migration_status, '-'), s.status)"
		" from public.volumes s, public.volumes t"
		" where s.id = '%s' and t.id = '%s'",
		s->volume, m.temporary_id);
	assert_sql(s, "colour=blue",
		"select string_agg(key || '=' || value, ' ')"
		" from public.volume_metadata where not deleted");
	/* The format is the driver's; readonly is the user's. */
	assert_sql(s, "readonly=True",
		"select string_agg(key || '=' || value, ' ')"
		" from public.volume_admin_metadata where not deleted");
	assert_sql(s, "50 5",
		"select string_agg(in_use::text, ' ' order by resource)"
		" from public.quota_usages");
}

static void assert_format(struct store *s, const char *volume_id, const char *want)
{
	assert_sql(s, want,
		"select coalesce(string_agg(value, ' '), '-')"
		" from public.volume_admin_metadata"
		" where volume_id = '%s' and key = 'format' and not deleted",
		volume_id);
}

/* S was a share's before with this format, or had none; T is a share's. */
static void moves_to_a_share(struct store *s, const char *format, const char *rows)
{
	struct migration m;

	if (format)
		sql(s,
			"insert into public.volume_admin_metadata"
			" (volume_id, key, value, deleted) values"
			" ('%s', 'format', '%s', false)",
			s->volume, format);
	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_PREPARING);
	text_copy(m.location, sizeof(m.location), "127.0.0.1:/export2");
	bring_to(s, &m, PHASE_SEALING);
	assert_sql(s, "127.0.0.1:/export2",
		"select provider_location from public.volumes where id = '%s'",
		m.temporary_id);
	assert_format(s, m.temporary_id, "raw");
	ok(s, switch_over(s, &m));
	assert_sql(s, "127.0.0.1:/export2",
		"select provider_location from public.volumes where id = '%s'",
		s->volume);
	assert_format(s, s->volume, "raw");
	assert_format(s, m.temporary_id, "-");
	assert_sql(s, rows,
		"select count(*) from public.volume_admin_metadata"
		" where volume_id = '%s'",
		s->volume);
}

static void a_share_is_the_location(void **state)
{
	moves_to_a_share(*state, NULL, "1");
}

/* What is the same already is not written again, as Cinder does not. */
static void an_equal_format_stays(void **state)
{
	moves_to_a_share(*state, "raw", "1");
}

static void the_temporary_row_is_soft_deleted(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SEALING);
	remember(s);
	ok(s, switch_over(s, &m));
	assert_changed(s, m.temporary_id,
		"deleted deleted_at migration_status status terminated_at");
	assert_sql(s, "deleted|t|t",
		"select concat_ws('|', status, deleted,"
		" deleted_at is not null)"
		" from public.volumes where id = '%s'",
		m.temporary_id);
}

static void the_old_object_becomes_garbage(void **state)
{
	struct store *s = *state;
	struct garbage garbage;
	struct migration m;

	ok(s,
		store_object_plan(
			s->db, NULL, SOURCE_BACKEND, "vol-s", s->volume, &s->err));
	ok(s,
		store_object_identify(
			s->db, NULL, SOURCE_BACKEND, "vol-s", "inode-1", &s->err));
	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SEALING);
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	ok(s, store_migration_switch(s->db, &m, false, 3600, &s->err));
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_int_equal(store_garbage_of_operation(
				 s->db, m.op.id, SOURCE_BACKEND, &garbage, &s->err),
		1);
	assert_string_equal(garbage.name, "vol-s");
	assert_string_equal(garbage.identity, "inode-1");
	assert_string_equal(garbage.volume_id, s->volume);
	assert_string_equal(garbage.operation_id, m.op.id);
	assert_string_equal(garbage.reason, "moved away");
	assert_int_equal(garbage.state, GARBAGE_WAITING);
	assert_false(garbage.by_name);
	assert_false(garbage.due); /* source_keep */
	assert_sql(s, "1", "select count(*) from drover.garbage");
	/* The new object is the volume's and is nobody's garbage. */
	assert_int_equal(store_garbage_in_use(s->db, &garbage, &s->err), 0);
	snprintf(garbage.host, sizeof(garbage.host), "%s", TARGET_BACKEND);
	snprintf(garbage.volume_id, sizeof(garbage.volume_id), "%s", m.temporary_id);
	assert_int_equal(store_garbage_in_use(s->db, &garbage, &s->err), 1);
}

static void a_volume_that_moved_before_moves_again(void **state)
{
	struct store *s = *state;
	struct migration_request back = request_of(s, "r2");
	enum admission admission;
	struct migration m, second;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_DONE);
	back.target = SOURCE;
	ok(s, store_migration_admit(s->db, &back, &admission, &s->err));
	assert_int_equal(store_migration_last(s->db, s->volume, &second, &s->err), 1);
	assert_string_equal(second.source_name_id, m.temporary_id);
	claim(s, &second);
	ok(s, store_migration_prepare(s->db, &second, &s->err));
	ok(s, store_migration_start_copy(s->db, &second, "copy", &s->err));
	ok(s, store_migration_seal(s->db, &second, "x", &s->err));
	ok(s, switch_over(s, &second));
	assert_volume(s, s->volume, "available|-|" SOURCE);
	/* What lay on the target, by its identity. */
	assert_sql(s, "inode-7",
		"select identity from drover.garbage where host = '" TARGET_BACKEND
		"' and volume_id = '%s'",
		m.temporary_id);
}

static void the_result_is_kept_when_asked(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SEALING);
	ok(s, store_migration_switch(s->db, &m, true, 0, &s->err));
	assert_volume(s, s->volume, "available|success|" TARGET);
}

static void a_locked_volume_gets_its_status_back(void **state)
{
	struct store *s = *state;
	struct migration m;

	ok(s,
		store_migration_begin(
			s->db, s->volume, TARGET, true, DOWN_TIME, &s->err));
	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SEALING);
	assert_volume(s, s->volume, "maintenance|completing|" SOURCE);
	bring_to(s, &m, PHASE_SETTLING);
	assert_volume(s, s->volume, "available|-|" TARGET);
}

/* With or without its attachment, which has no connector yet; an export that was closed
 * before the migration began is no matter either. */
static void a_users_reservation_survives(void **state)
{
	static const char *const statuses[] = { "reserved", "awaiting-transfer" };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct migration m;

		store_reset(state);
		sql(s,
			"insert into drover.export (id, volume_id, host, kind, peer,"
			" state, closed_at) values (gen_random_uuid(), '%s', 'a@b',"
			" 'attachment', 'x', 'closed', now())",
			s->volume);
		admit_migration(s, "r1", &m);
		bring_to(s, &m, PHASE_SEALING);
		sql(s, "update public.volumes set status = '%s' where id = '%s'",
			statuses[i], s->volume);
		sql(s,
			"insert into public.volume_attachment (id, volume_id,"
			" attach_status, deleted) select 'att', '%s', 'reserved', false"
			" where %u = 0",
			s->volume, i);
		ok(s, switch_over(s, &m));
		assert_sql(s, statuses[i],
			"select status from public.volumes where id = '%s'", s->volume);
	}
}

/* ---- what forbids it ---- */

static const struct {
	const char *change; /* %1$s: S, %2$s: T */
	enum error_code code;
	const char *text; /* of the refusal; NULL: with ids in it */
} meanwhile[] = {
	{ "insert into public.snapshots (id, volume_id, volume_type_id, deleted)"
	  " select 'snap', id, volume_type_id, false from public.volumes"
	  " where id = '%1$s'",
		ERR_INVALID_VOLUME, "volume 'data' got snapshots meanwhile" },
	{ "insert into public.volume_attachment (id, volume_id, attach_status, deleted)"
	  " values ('att', '%1$s', 'attached', false)",
		ERR_INVALID_VOLUME, "volume 'data' was attached meanwhile" },
	{ "insert into public.volume_attachment (id, volume_id, attach_status,"
	  " connector, deleted) values ('att', '%1$s', 'reserved', '{}', false)",
		ERR_INVALID_VOLUME, "volume 'data' was attached meanwhile" },
	/* Even if it is over: what it wrote may not have been copied. */
	{ "insert into drover.export (id, volume_id, host, kind, peer, state,"
	  " closed_at) values (gen_random_uuid(), '%1$s', 'a@b', 'attachment', 'x',"
	  " 'closed', now())",
		ERR_INVALID_VOLUME, NULL },
	{ "insert into drover.export (id, volume_id, host, kind, peer, state,"
	  " closed_at) values (gen_random_uuid(), '%2$s', 'a@b', 'attachment', 'x',"
	  " 'closed', now())",
		ERR_INVALID_VOLUME, NULL },
	{ "update public.volumes set size = 3 where id = '%1$s'", ERR_INVALID_VOLUME,
		"volume 'data' was resized to 3 GiB meanwhile" },
	{ "update public.volumes set host = '" ELSEWHERE "' where id = '%1$s'",
		ERR_INVALID_VOLUME,
		"volume 'data' is not where it was: it is on '" ELSEWHERE "' now" },
	{ "update public.volumes set _name_id = '%2$s' where id = '%1$s'",
		ERR_INVALID_VOLUME,
		"volume 'data' is not where it was: it is on '" SOURCE "' now" },
	{ "update public.volumes set status = 'deleting' where id = '%1$s'",
		ERR_INVALID_VOLUME,
		"the status of volume 'data' became 'deleting' meanwhile" },
	{ "update public.volumes set status = 'in-use' where id = '%1$s'",
		ERR_INVALID_VOLUME,
		"the status of volume 'data' became 'in-use' meanwhile" },
	{ "insert into drover.export (id, volume_id, host, kind, peer) values"
	  " (gen_random_uuid(), '%1$s', 'a@b', 'attachment', 'x')",
		ERR_INVALID_VOLUME, NULL },
	{ "insert into drover.export (id, volume_id, host, kind, peer, state, pid,"
	  " port) values (gen_random_uuid(), '%2$s', 'a@b', 'migration', 'x',"
	  " 'open', 1, 1)",
		ERR_INVALID_VOLUME, NULL },
	{ "update drover.operation set cancel = true", ERR_CANCELLED,
		"the migration was cancelled" },
	{ "update public.volumes set migration_status = 'error' where id = '%1$s'",
		ERR_CANCELLED,
		"migration_status of volume 'data' was changed from 'completing' to "
		"'error'" },
	{ "update public.volumes set status = 'in-use' where id = '%2$s'",
		ERR_INVALID_VOLUME, NULL },
	{ "update public.volumes set migration_status = null where id = '%2$s'",
		ERR_INVALID_VOLUME, NULL },
	{ "update public.volumes set migration_status = 'target:%2$s'"
	  " where id = '%2$s'",
		ERR_INVALID_VOLUME, NULL },
	{ "update public.volumes set host = '" ELSEWHERE "' where id = '%2$s'",
		ERR_INVALID_VOLUME, NULL },
	{ "update public.volumes set size = 3 where id = '%2$s'", ERR_INVALID_VOLUME,
		NULL },
	{ "insert into public.volume_attachment (id, volume_id, deleted)"
	  " values ('att', '%2$s', false)",
		ERR_INVALID_VOLUME, NULL },
	{ "update public.volumes set deleted = true where id = '%2$s'",
		ERR_VOLUME_NOT_FOUND, NULL },
	{ "update public.volumes set deleted = true where id = '%1$s'",
		ERR_VOLUME_NOT_FOUND, NULL },
	{ "update drover.operation set epoch = epoch + 1", ERR_FENCED, NULL },
	{ "update drover.operation set phase = 'copying'", ERR_FENCED, NULL },
};

static void every_change_meanwhile_forbids_the_switch(void **state)
{
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(meanwhile); i++) {
		struct migration m;

		store_reset(state);
		admit_migration(s, "r1", &m);
		bring_to(s, &m, PHASE_SEALING);
		sql(s, meanwhile[i].change, s->volume, m.temporary_id);
		AUTO(free) char *before = sql_everything(s);
		if (switch_over(s, &m) != -1)
			fail_msg("switched in spite of: %s", meanwhile[i].change);
		if (meanwhile[i].text)
			assert_error(
				&s->err, meanwhile[i].code, "%s", meanwhile[i].text);
		else
			assert_error(&s->err, meanwhile[i].code, NULL);
		AUTO(free) char *after = sql_everything(s);
		assert_string_equal(after, before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(the_switch_moves_placement_and_nothing_else),
		STORE_TEST(a_share_is_the_location),
		STORE_TEST(an_equal_format_stays),
		STORE_TEST(the_temporary_row_is_soft_deleted),
		STORE_TEST(the_old_object_becomes_garbage),
		STORE_TEST(a_volume_that_moved_before_moves_again),
		STORE_TEST(the_result_is_kept_when_asked),
		STORE_TEST(a_locked_volume_gets_its_status_back),
		STORE_TEST(a_users_reservation_survives),
		STORE_TEST(every_change_meanwhile_forbids_the_switch),
	};

	return STORE_MAIN(tests);
}
