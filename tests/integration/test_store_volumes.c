/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes: read, listed, made, placed, failed, put back; and what hangs on them. */
#include "common/store/details.h"
#include "tests/integration/store_fixture.h"

/* ---- reading ---- */

static void a_row_is_read_as_it_is(void **state)
{
	struct store *s = *state;
	char attachment[UUID_TEXT_SIZE];
	struct volume v;

	sql(s,
		"insert into public.groups (id, deleted) values ('g', false);"
		" insert into public.consistencygroups (id, deleted)"
		" values ('c', false)");
	sql(s,
		"update public.volumes set _name_id = '" OWNER
		"', display_description = 'words', cluster_name = 'cluster',"
		" previous_status = 'reserved', migration_status = 'success',"
		" snapshot_id = 'snap', source_volid = 'src', group_id = 'g',"
		" consistencygroup_id = 'c', replication_status = 'enabled',"
		" encryption_key_id = 'key', bootable = true, multiattach = true,"
		" created_at = '2024-05-01 12:00:00.000123'");
	sql(s,
		"insert into public.volume_admin_metadata (volume_id, key, value,"
		" deleted) values ('%s', 'format', 'qcow2', false)",
		s->volume);
	add_snapshot(s, s->volume);
	add_attachment(s, s->volume, attachment);
	assert_int_equal(store_volume_get(s->db, s->volume, &v, &s->err), 1);
	assert_string_equal(v.id, s->volume);
	assert_string_equal(v.name_id, OWNER);
	assert_true(v.has_name_id);
	assert_string_equal(v.display_name, "data");
	assert_string_equal(v.display_description, "words");
	assert_string_equal(v.project_id, "project");
	assert_string_equal(v.user_id, "user");
	assert_string_equal(v.host, SOURCE);
	assert_string_equal(v.cluster_name, "cluster");
	assert_string_equal(v.status, "available");
	assert_string_equal(v.previous_status, "reserved");
	assert_string_equal(v.attach_status, "detached");
	assert_string_equal(v.migration_status, "success");
	assert_string_equal(v.availability_zone, "nova");
	assert_true(uuid_is(v.volume_type_id));
	assert_string_equal(v.volume_type, "__DEFAULT__");
	assert_string_equal(v.snapshot_id, "snap");
	assert_string_equal(v.source_volid, "src");
	assert_string_equal(v.group_id, "g");
	assert_string_equal(v.consistencygroup_id, "c");
	assert_string_equal(v.replication_status, "enabled");
	assert_string_equal(v.format, "qcow2");
	assert_string_equal(v.created_at, "2024-05-01T12:00:00.000123");
	assert_int_equal(v.size_gib, 2);
	assert_true(v.bootable && v.multiattach && v.encrypted && v.use_quota);
	assert_false(v.deleted);
	assert_int_equal(v.snapshots, 1);
	assert_int_equal(v.attachments, 1);
}

static void null_is_empty_text(void **state)
{
	struct store *s = *state;
	struct volume v;

	sql(s,
		"update public.volumes set display_name = null, host = null,"
		" status = null, project_id = null, availability_zone = null,"
		" attach_status = null, created_at = null, size = null");
	assert_int_equal(store_volume_get(s->db, s->volume, &v, &s->err), 1);
	assert_string_equal(v.display_name, "");
	assert_string_equal(v.host, "");
	assert_string_equal(v.status, "");
	assert_string_equal(v.created_at, "");
	assert_string_equal(v.format, "");
	assert_int_equal(v.size_gib, 0);
	/* The name of its object is made from its id. */
	assert_string_equal(v.name_id, s->volume);
	assert_false(v.has_name_id);
}

static void deleted_volumes_do_not_count(void **state)
{
	struct store *s = *state;
	struct volume v;

	sql(s, "update public.volumes set deleted = true");
	assert_int_equal(store_volume_get(s->db, s->volume, &v, &s->err), 0);
	assert_int_equal(store_volume_get_locked(s->db, s->volume, &v, &s->err), 0);
	assert_int_equal(store_volume_get(s->db, "nonsense", &v, &s->err), 0);
	assert_fails(s, store_volume_find(s->db, "data", &v, &s->err),
		ERR_VOLUME_NOT_FOUND,
		"there is no volume 'data'; 'drover list' shows all");
}

static void volumes_are_found_by_id_or_name(void **state)
{
	struct store *s = *state;
	char second[UUID_TEXT_SIZE], tricky[UUID_TEXT_SIZE];
	struct volume v;

	ok(s, store_volume_find(s->db, "data", &v, &s->err));
	assert_string_equal(v.id, s->volume);
	ok(s, store_volume_find(s->db, s->volume, &v, &s->err));
	assert_string_equal(v.id, s->volume);
	/* A temporary volume has the name of its source. */
	add_volume(s, "data", TARGET, second);
	sql(s,
		"update public.volumes set migration_status = 'target:%s'"
		" where id = '%s'",
		s->volume, second);
	ok(s, store_volume_find(s->db, "data", &v, &s->err));
	assert_string_equal(v.id, s->volume);
	ok(s, store_volume_find(s->db, second, &v, &s->err));
	assert_string_equal(v.id, second);
	sql(s, "update public.volumes set migration_status = null");
	assert_fails(s, store_volume_find(s->db, "data", &v, &s->err), ERR_AMBIGUOUS,
		"several volumes are named 'data': use the id");
	/* Named like another's id: the id counts. */
	add_volume(s, s->volume, TARGET, tricky);
	ok(s, store_volume_find(s->db, s->volume, &v, &s->err));
	assert_string_equal(v.id, s->volume);
}

static void volumes_are_listed_oldest_first(void **state)
{
	struct store *s = *state;
	AUTO(free) struct volume *users = NULL;
	AUTO(free) struct volume *all = NULL;
	char second[UUID_TEXT_SIZE], gone[UUID_TEXT_SIZE];

	add_volume(s, "older", TARGET, second);
	add_volume(s, "gone", TARGET, gone);
	sql(s,
		"update public.volumes set created_at = '2000-01-01',"
		" migration_status = 'target:x' where id = '%s'",
		second);
	sql(s, "update public.volumes set deleted = true where id = '%s'", gone);
	assert_int_equal(store_volume_list(s->db, false, &users, &s->err), 1);
	assert_string_equal(users[0].display_name, "data");
	assert_int_equal(store_volume_list(s->db, true, &all, &s->err), 2);
	assert_string_equal(all[0].display_name, "older");
	assert_string_equal(all[1].display_name, "data");
}

struct locking {
	struct store *s;
	bool was_waiting;
};

static int lock_body(struct db *db, void *arg, struct error *err)
{
	struct locking *locking = arg;
	struct store *s = locking->s;
	struct volume v;

	assert_int_equal(store_volume_get_locked(db, s->volume, &v, err), 1);
	PGresult *rows = PQexec(s->psql,
		"select 1 from public.volumes"
		" for update nowait");
	locking->was_waiting = PQresultStatus(rows) == PGRES_FATAL_ERROR;
	PQclear(rows);
	return 0;
}

static void a_locked_row_stays_locked(void **state)
{
	struct store *s = *state;
	struct locking locking = { s, false };

	ok(s, db_transact(s->db, lock_body, &locking, &s->err));
	assert_true(locking.was_waiting);
	sql(s, "select 1 from public.volumes for update nowait");
}

static void usage_is_what_the_rows_say(void **state)
{
	struct store *s = *state;
	char second[UUID_TEXT_SIZE], third[UUID_TEXT_SIZE], gone[UUID_TEXT_SIZE];
	int64_t gib, count;

	add_volume(s, "a", SOURCE_BACKEND "#other", second);
	add_volume(s, "b", TARGET, third);
	add_volume(s, "c", SOURCE, gone);
	sql(s, "update public.volumes set deleted = true where id = '%s'", gone);
	ok(s, store_volume_usage(s->db, SOURCE_BACKEND, &gib, &count, &s->err));
	assert_int_equal(gib, 4);
	assert_int_equal(count, 2);
	ok(s, store_volume_usage(s->db, "one@nowhere", &gib, &count, &s->err));
	assert_int_equal(gib, 0);
	assert_int_equal(count, 0);
}

/* ---- making ---- */

static void a_volume_is_made_as_the_api_tier_makes_it(void **state)
{
	struct store *s = *state;
	struct volume_create create = { .display_name = "new",
		.size_gib = 5,
		.availability_zone = "nova",
		.project_id = "p",
		.user_id = "u" };
	struct volume v;

	ok(s, store_volume_create(s->db, &create, &s->err));
	assert_true(uuid_is(create.id));
	assert_int_equal(store_volume_get(s->db, create.id, &v, &s->err), 1);
	assert_string_equal(v.status, "creating");
	assert_string_equal(v.attach_status, "detached");
	assert_string_equal(v.host, "");
	assert_string_equal(v.volume_type, "__DEFAULT__");
	assert_string_equal(v.project_id, "p");
	assert_int_equal(v.size_gib, 5);
	assert_false(v.use_quota || v.bootable || v.multiattach);
	create.volume_type = "fast";
	assert_fails(s, store_volume_create(s->db, &create, &s->err), ERR_NOT_FOUND,
		"there is no volume type 'fast'");
}

static void a_volume_is_placed_once(void **state)
{
	struct store *s = *state;

	sql(s, "update public.volumes set status = 'creating', host = null");
	assert_int_equal(
		store_volume_place(s->db, s->volume, TARGET, "zone", &s->err), 1);
	assert_int_equal(
		store_volume_place(s->db, s->volume, SOURCE, NULL, &s->err), 0);
	assert_sql(s, TARGET "|zone|t",
		"select concat_ws('|', host, availability_zone,"
		" scheduled_at is not null) from public.volumes");
	sql(s, "update public.volumes set host = null");
	assert_int_equal(
		store_volume_place(s->db, s->volume, SOURCE, NULL, &s->err), 1);
	assert_sql(s, "zone", "select availability_zone from public.volumes");
	sql(s, "update public.volumes set host = null, status = 'error'");
	assert_int_equal(
		store_volume_place(s->db, s->volume, SOURCE, NULL, &s->err), 0);
}

static void add_worker(struct store *s)
{
	sql(s,
		"insert into public.workers (deleted, resource_type, resource_id,"
		" status) values (false, 'Volume', '%s', 'creating')",
		s->volume);
}

static void a_volume_without_a_place_is_in_error(void **state)
{
	struct store *s = *state;

	sql(s, "update public.volumes set status = 'creating', host = null");
	add_worker(s);
	ok(s, store_volume_create_failed(s->db, s->volume, "req-1", "003", &s->err));
	assert_volume(s, s->volume, "error|-|-");
	assert_sql(s, "0",
		"select count(*) from public.workers"
		" where resource_type = 'Volume'");
	assert_sql(s, "t|project|req-1|VOLUME|VOLUME_VOLUME_001_003|ERROR|003|001|t",
		"select concat_ws('|', resource_uuid = '%s', project_id, request_id,"
		" resource_type, event_id, message_level, detail_id, action_id,"
		" expires_at > localtimestamp) from public.messages",
		s->volume);
	/* Again: neither another message nor a change. */
	ok(s, store_volume_create_failed(s->db, s->volume, "req-1", "003", &s->err));
	assert_sql(s, "1", "select count(*) from public.messages");
	/* A volume that is there stays as it is. */
	sql(s, "update public.volumes set status = 'available'");
	ok(s, store_volume_create_failed(s->db, s->volume, "req-1", NULL, &s->err));
	assert_volume(s, s->volume, "available|-|-");
	assert_sql(s, "1", "select count(*) from public.messages");
}

/* ---- put back ---- */

static void add_reservation(struct store *s, const char *uuid, int usage, int delta)
{
	sql(s,
		"insert into public.reservations (uuid, usage_id, delta, deleted)"
		" select '%s', id, %d, false from public.quota_usages"
		" where until_refresh = %d",
		uuid, delta, usage);
}

static void a_refused_extension_is_put_back(void **state)
{
	static const char *const reservations[] = { "up", "down", "unknown", NULL };
	static const char usages[] =
		"select string_agg(in_use || '/' || reserved, ' ' order by"
		" until_refresh) from public.quota_usages";
	struct store *s = *state;

	sql(s,
		"insert into public.quota_usages (project_id, resource, in_use,"
		" reserved, until_refresh) values ('p', 'gigabytes', 10, 7, 1),"
		" ('p', 'volumes', 3, 4, 2)");
	sql(s,
		"update public.volumes set status = 'extending',"
		" previous_status = 'in-use'");
	add_reservation(s, "up", 1, 5);
	add_reservation(s, "down", 2, -2);
	add_reservation(s, "another", 2, 1);
	add_worker(s);
	assert_int_equal(store_volume_put_back(
				 s->db, s->volume, "extending", reservations, &s->err),
		1);
	assert_sql(s, "in-use|-",
		"select status || '|' ||"
		" coalesce(previous_status, '-')"
		" from public.volumes");
	/* Only positive deltas were added to "reserved". */
	assert_sql(s, "10/2 3/4", usages);
	assert_sql(s, "another",
		"select string_agg(uuid, ' ') from public.reservations"
		" where not deleted");
	assert_sql(s, "0",
		"select count(*) from public.workers"
		" where resource_type = 'Volume'");
	assert_int_equal(store_volume_put_back(
				 s->db, s->volume, "extending", reservations, &s->err),
		0);
	assert_sql(s, "10/2 3/4", usages);
}

static void a_refused_deletion_is_put_back(void **state)
{
	struct store *s = *state;

	sql(s,
		"update public.volumes set status = 'deleting',"
		" previous_status = null, terminated_at = localtimestamp");
	assert_int_equal(
		store_volume_put_back(s->db, s->volume, "deleting", NULL, &s->err), 1);
	assert_sql(s, "available|t",
		"select concat_ws('|', status, terminated_at is"
		" null) from public.volumes");
	sql(s,
		"update public.volumes set status = 'deleting',"
		" previous_status = 'deleting'");
	assert_int_equal(
		store_volume_put_back(s->db, s->volume, "deleting", NULL, &s->err), 1);
	assert_volume(s, s->volume, "available|-|" SOURCE);
	/* Not the request's own any more. */
	sql(s, "update public.volumes set status = 'error'");
	assert_int_equal(
		store_volume_put_back(s->db, s->volume, "deleting", NULL, &s->err), 0);
	assert_volume(s, s->volume, "error|-|" SOURCE);
}

/* What the API tier has not remembered for the request is not what it was. */
static void a_status_is_put_back_from_what_the_rows_say(void **state)
{
	static const struct {
		const char *now, *attachment, *launched, *after;
	} cases[] = {
		{ "deleting", NULL, "now()", "available" },
		{ "deleting", NULL, "null", "error" },
		{ "unmanaging", "error_attaching", "now()", "available" },
		{ "deleting", "attached", "now()", "in-use" },
		{ "reverting", "attaching", "now()", "attaching" },
		{ "attaching", "attaching", "now()", "available" },
		{ "attaching", "attached", "now()", "in-use" },
		{ "deleting", "reserved", "now()", "reserved" },
		{ "error_managing_deleting", NULL, "null", "error_managing" },
		{ "retyping", NULL, "now()", "backing-up" },
		{ "downloading", NULL, "null", "backing-up" },
	};
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		store_reset(state);
		sql(s,
			"update public.volumes set status = '%s', launched_at = %s,"
			" previous_status = 'backing-up'",
			cases[i].now, cases[i].launched);
		if (cases[i].attachment) {
			add_attachment(s, s->volume, id);
			sql(s,
				"update public.volume_attachment"
				" set attach_status = '%s'",
				cases[i].attachment);
		}
		assert_int_equal(store_volume_put_back(
					 s->db, s->volume, cases[i].now, NULL, &s->err),
			1);
		assert_sql(s, cases[i].after, "select status from public.volumes");
	}
}

/* A migration that only settles has given the status back, and it may be another since. */
static void what_settles_has_no_status_to_give_back(void **state)
{
	struct store *s = *state;
	struct migration m;
	char id[UUID_TEXT_SIZE];

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_SETTLING);
	add_attachment(s, s->volume, id);
	sql(s, "update public.volumes set status = 'deleting' where id = '%s'",
		s->volume);
	assert_int_equal(
		store_volume_put_back(s->db, s->volume, "deleting", NULL, &s->err), 1);
	assert_volume(s, s->volume, "in-use|-|" TARGET);
	sql(s, "update public.volume_attachment set deleted = true");
	bring_to(s, &m, PHASE_DONE);
}

/* previous_status may be of an earlier request then. */
static void during_a_migration_its_saved_status_counts(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	sql(s,
		"update public.volumes set status = 'deleting',"
		" previous_status = 'error' where id = '%s'",
		s->volume);
	assert_int_equal(
		store_volume_put_back(s->db, s->volume, "deleting", NULL, &s->err), 1);
	assert_volume(s, s->volume, "available|migrating|" SOURCE);
	bring_to(s, &m, PHASE_DONE);
}

/* ---- what hangs on it ---- */

static void attachments_are_listed_oldest_first(void **state)
{
	struct store *s = *state;
	AUTO(free) struct attachment *list = NULL;
	char first[UUID_TEXT_SIZE], second[UUID_TEXT_SIZE], gone[UUID_TEXT_SIZE];
	char who[256];

	ok(s, store_volume_attached_to(s->db, s->volume, who, sizeof(who), &s->err));
	assert_string_equal(who, "");
	add_attachment(s, s->volume, second);
	add_attachment(s, s->volume, first);
	add_attachment(s, s->volume, gone);
	sql(s,
		"update public.volume_attachment set created_at = '2000-01-01',"
		" instance_uuid = '" OWNER "', attached_host = null,"
		" attach_time = null where id = '%s'",
		first);
	sql(s, "update public.volume_attachment set deleted = true where id = '%s'",
		gone);
	assert_int_equal(store_attachment_list(s->db, s->volume, &list, &s->err), 2);
	assert_string_equal(list[0].id, first);
	assert_string_equal(list[0].server_id, OWNER);
	assert_string_equal(list[0].host_name, "");
	assert_string_equal(list[0].attached_at, "");
	assert_string_equal(list[1].id, second);
	assert_string_equal(list[1].server_id, "");
	assert_string_equal(list[1].host_name, "guest");
	assert_string_equal(list[1].device, "/dev/vdb");
	assert_string_equal(list[1].status, "attached");
	assert_string_equal(list[1].mode, "rw");
	assert_string_equal(list[1].attached_at, "2024-05-01T12:00:00.250000");
	ok(s, store_volume_attached_to(s->db, s->volume, who, sizeof(who), &s->err));
	assert_string_equal(who, "server " OWNER ", host guest");
}

static void metadata_and_specs_are_listed_by_key(void **state)
{
	struct store *s = *state;
	AUTO(free) struct detail *metadata = NULL;
	AUTO(free) struct detail *specs = NULL;
	struct volume v;

	sql(s,
		"insert into public.volume_metadata (volume_id, key, value, deleted)"
		" select '%s', key, value, key = 'gone' from (values ('b', '2'),"
		" ('a', null), ('gone', 'x'), (null, 'y')) as pairs (key, value)",
		s->volume);
	assert_int_equal(store_metadata_list(s->db, s->volume, &metadata, &s->err), 2);
	assert_string_equal(metadata[0].key, "a");
	assert_string_equal(metadata[0].value, "");
	assert_string_equal(metadata[1].key, "b");
	assert_string_equal(metadata[1].value, "2");
	assert_int_equal(store_volume_get(s->db, s->volume, &v, &s->err), 1);
	sql(s,
		"insert into public.volume_type_extra_specs (volume_type_id, key,"
		" value, deleted) values ('%s', 'volume_backend_name', 'fast', false),"
		" ('%s', 'gone', 'x', true)",
		v.volume_type_id, v.volume_type_id);
	assert_int_equal(
		store_type_spec_list(s->db, v.volume_type_id, &specs, &s->err), 1);
	assert_string_equal(specs[0].key, "volume_backend_name");
	assert_string_equal(specs[0].value, "fast");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_row_is_read_as_it_is),
		STORE_TEST(null_is_empty_text),
		STORE_TEST(deleted_volumes_do_not_count),
		STORE_TEST(volumes_are_found_by_id_or_name),
		STORE_TEST(volumes_are_listed_oldest_first),
		STORE_TEST(a_locked_row_stays_locked),
		STORE_TEST(usage_is_what_the_rows_say),
		STORE_TEST(a_volume_is_made_as_the_api_tier_makes_it),
		STORE_TEST(a_volume_is_placed_once),
		STORE_TEST(a_volume_without_a_place_is_in_error),
		STORE_TEST(a_refused_extension_is_put_back),
		STORE_TEST(a_refused_deletion_is_put_back),
		STORE_TEST(a_status_is_put_back_from_what_the_rows_say),
		STORE_TEST(what_settles_has_no_status_to_give_back),
		STORE_TEST(during_a_migration_its_saved_status_counts),
		STORE_TEST(attachments_are_listed_oldest_first),
		STORE_TEST(metadata_and_specs_are_listed_by_key),
	};

	return STORE_MAIN(tests);
}
