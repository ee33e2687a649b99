/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots come and go, alone and with their volume. */
#include "common/store/deletes.h"
#include "common/store/snapshots.h"
#include "common/store/sources.h"
#include "tests/integration/store_fixture.h"

static const char usages[] =
	"select string_agg(resource || '=' || in_use, ' ' order by resource)"
	" from public.quota_usages where project_id = 'project'";

/* What the API tier has written before it asks. */
static void add(struct store *s, char id[UUID_TEXT_SIZE])
{
	uuid_make(id);
	sql(s,
		"insert into public.snapshots (id, volume_id, volume_type_id, status,"
		" progress, volume_size, use_quota, project_id, deleted) select '%s',"
		" id, volume_type_id, 'creating', '0%%', 2, true, 'project', false"
		" from public.volumes where id = '%s'",
		id, s->volume);
	sql(s,
		"insert into public.workers (deleted, resource_type, resource_id,"
		" status) values (false, 'Snapshot', '%s', 'creating')",
		id);
}

static void add_usages(struct store *s)
{
	sql(s,
		"insert into public.quota_usages (project_id, resource, in_use,"
		" reserved, deleted) values ('project', 'volumes', 5, 0, false),"
		" ('project', 'gigabytes', 50, 0, false),"
		" ('project', 'snapshots', 5, 0, false),"
		" ('project', 'snapshots___DEFAULT__', 5, 0, false),"
		" ('project', 'gigabytes___DEFAULT__', 50, 0, false),"
		" ('project', 'snapshots_fast', 5, 0, false)");
}

static int ask(struct store *s, const char *id, const char *request_id)
{
	enum admission admission;
	int done = store_snapshot_admit(s->db, id, request_id, &admission, &s->err);

	return done < 0 ? -1 : (int)admission;
}

static void begin(struct store *s, const char *id, struct operation *op)
{
	AUTO(free)
	char *operation = sql_value(s,
		"select id from drover.operation where snapshot_id = '%s'"
		" and finished_at is null",
		id);

	assert_int_equal(
		store_operation_claim(s->db, operation, OWNER, op, &s->err), 1);
	assert_string_equal(op->snapshot_id, id);
	ok(s, store_operation_start(s->db, op, &s->err));
}

static void note_object(struct store *s, const char *id)
{
	AUTO(free) char *name = text_format("snapshot-%s", id);

	ok(s, store_object_plan(s->db, NULL, SOURCE_BACKEND, name, id, &s->err));
	ok(s,
		store_object_identify(
			s->db, NULL, SOURCE_BACKEND, name, "inode-5", &s->err));
}

static void make(struct store *s, const char *id, const char *request_id)
{
	struct operation op;

	assert_int_equal(ask(s, id, request_id), ADMITTED);
	begin(s, id, &op);
	note_object(s, id);
	ok(s, store_snapshot_done(s->db, &op, &s->err));
}

static void assert_snapshot(struct store *s, const char *id, const char *want)
{
	assert_sql(s, want,
		"select status || '|' || progress || '|' || deleted"
		" from public.snapshots where id = '%s'",
		id);
}

static int remove_snapshot(struct store *s, const char *id, const char *request_id)
{
	enum admission admission;
	int done =
		store_snapshot_delete(s->db, id, request_id, true, &admission, &s->err);

	return done < 0 ? -1 : (int)admission;
}

static void a_snapshot_is_made(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE], second[UUID_TEXT_SIZE];
	struct operation op, stale;
	struct source source;

	sql(s, "update public.volumes set bootable = true, encryption_key_id = 'key'");
	sql(s,
		"insert into public.volume_glance_metadata (volume_id, key, value,"
		" deleted) values ('%s', 'min_disk', '1', false)",
		s->volume);
	add(s, id);
	add(s, second);
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	assert_int_equal(ask(s, id, "r1"), ADMITTED);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_int_equal(ask(s, id, "r1"), DUPLICATE);
	/* Several at once. */
	assert_int_equal(ask(s, second, "r2"), ADMITTED);
	begin(s, id, &op);
	assert_int_equal(store_source_get(s->db, &op, &source, &s->err), 1);
	assert_string_equal(source.volume_id, s->volume);
	ok(s, store_source_copy(s->db, &op, &source, &s->err));
	ok(s, store_source_checkpoint(s->db, &op, 1 << 20, "chain", 42, &s->err));
	assert_snapshot(s, id, "creating|42%|false");
	stale = op;
	ok(s, store_snapshot_done(s->db, &op, &s->err));
	ok(s, store_snapshot_done(s->db, &stale, &s->err));
	assert_snapshot(s, id, "available|100%|false");
	assert_sql(s, "key",
		"select encryption_key_id from public.snapshots where id = '%s'", id);
	assert_sql(s, "min_disk=1",
		"select string_agg(key || '=' || value, ' ')"
		" from public.volume_glance_metadata where snapshot_id = '%s'",
		id);
	assert_sql(s, "1",
		"select count(*) from public.workers where resource_type = 'Snapshot'");
	assert_int_equal(ask(s, id, "r1"), DUPLICATE);
	assert_fails(s, ask(s, id, "r9"), ERR_INVALID_SNAPSHOT,
		"snapshot '%s' has status 'available', not creating", id);
}

static void a_snapshot_that_failed_says_so(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE], gone[UUID_TEXT_SIZE];
	struct operation op;
	struct error why;

	add(s, id);
	assert_int_equal(ask(s, id, "r1"), ADMITTED);
	begin(s, id, &op);
	note_object(s, id);
	error_set(&why, ERR_NO_SPACE, "the disk is full");
	for (int i = 0; i < 2; i++)
		ok(s, store_snapshot_failed(s->db, &op, &why, &s->err));
	assert_snapshot(s, id, "error|0%|false");
	assert_sql(s, "VOLUME_SNAPSHOT|VOLUME_VOLUME_SNAPSHOT_009_013|r1|t",
		"select concat_ws('|', resource_type, event_id, request_id,"
		" resource_uuid = '%s') from public.messages",
		id);
	assert_sql(s, "snapshot|could not be made",
		"select left(name, 8) || '|' || reason from drover.garbage");
	assert_sql(s, "0",
		"select count(*) from public.workers where resource_type = 'Snapshot'");
	/* Its row goes while it is made. */
	add(s, gone);
	assert_int_equal(ask(s, gone, "r2"), ADMITTED);
	begin(s, gone, &op);
	note_object(s, gone);
	sql(s, "update public.snapshots set deleted = true where id = '%s'", gone);
	assert_fails(s, store_snapshot_done(s->db, &op, &s->err),
		ERR_SNAPSHOT_NOT_FOUND, "snapshot '%s' could not be found", gone);
	error_set(&why, ERR_SNAPSHOT_NOT_FOUND, "gone");
	ok(s, store_snapshot_failed(s->db, &op, &why, &s->err));
	assert_sql(s, "2", "select count(*) from drover.garbage");
}

static void a_refused_snapshot_is_in_error(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];
	struct migration m;
	struct error why;

	error_set(&why, ERR_INVALID_VOLUME, "because");
	admit_migration(s, "m1", &m);
	bring_to(s, &m, PHASE_COPYING);
	add(s, id);
	assert_fails(s, ask(s, id, "r1"), ERR_INVALID_VOLUME,
		"volume 'data' cannot get a snapshot: it is already migrating to "
		"'" TARGET "'");
	ok(s, store_snapshot_refuse(s->db, id, "r1", &why, &s->err));
	ok(s, store_snapshot_refuse(s->db, id, "r1", &why, &s->err));
	assert_snapshot(s, id, "error|0%|false");
	assert_sql(s, "1", "select count(*) from public.messages");
	assert_int_equal(ask(s, id, "r1"), DUPLICATE);
	/* The migration goes on: there is no object that it would leave behind. */
	bring_to(s, &m, PHASE_DONE);
	assert_volume(s, s->volume, "available|-|" TARGET);
	/* It can be deleted. */
	sql(s, "update public.snapshots set status = 'deleting'");
	assert_int_equal(remove_snapshot(s, id, "d1"), ADMITTED);
	assert_snapshot(s, id, "deleted|0%|true");
	assert_sql(s, "0", "select count(*) from drover.garbage where volume_id = '%s'",
		id);
	assert_fails(s, ask(s, OWNER, "r1"), ERR_SNAPSHOT_NOT_FOUND, NULL);
	ok(s, store_snapshot_refuse(s->db, OWNER, "r1", &why, &s->err));
}

static void while_one_is_made_its_volume_stays(void **state)
{
	struct store *s = *state;
	struct migration_request request = request_of(s, "m1");
	enum admission admission;
	char id[UUID_TEXT_SIZE];
	struct operation op;

	add(s, id);
	assert_int_equal(ask(s, id, "r1"), ADMITTED);
	sql(s, "delete from drover.export");
	assert_fails(s, store_migration_admit(s->db, &request, &admission, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be migrated: a snapshot of it is being made");
	/* Nor is it deleted itself; it goes on to be made. */
	sql(s, "update public.snapshots set status = 'deleting'");
	assert_fails(s, remove_snapshot(s, id, "d1"), ERR_INVALID_SNAPSHOT,
		"snapshot '%s' cannot be deleted: it is being made", id);
	ok(s, store_snapshot_delete_refused(s->db, id, "d1", false, &s->err));
	assert_snapshot(s, id, "creating|0%|false");
	begin(s, id, &op);
	ok(s, store_snapshot_done(s->db, &op, &s->err));
	assert_snapshot(s, id, "available|100%|false");
}

static void a_snapshot_goes_with_its_quota(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];

	add_usages(s);
	add(s, id);
	make(s, id, "r1");
	assert_fails(s, remove_snapshot(s, id, "d1"), ERR_INVALID_SNAPSHOT,
		"snapshot '%s' was found in state 'available' rather than 'deleting'",
		id);
	sql(s, "update public.snapshots set status = 'deleting'");
	sql(s,
		"insert into public.volume_glance_metadata (snapshot_id, key, deleted)"
		" values ('%s', 'k', false)",
		id);
	assert_int_equal(remove_snapshot(s, id, "d1"), ADMITTED);
	assert_snapshot(s, id, "deleted|100%|true");
	assert_sql(s,
		"gigabytes=48 gigabytes___DEFAULT__=48 snapshots=4"
		" snapshots___DEFAULT__=4 snapshots_fast=5 volumes=5",
		usages);
	assert_sql(s, "inode-5|deleted",
		"select identity || '|' || reason from drover.garbage");
	assert_sql(s, "0",
		"select count(*) from public.volume_glance_metadata where not deleted");
	/* Once more changes nothing. */
	assert_int_equal(remove_snapshot(s, id, "d1"), DUPLICATE);
	assert_int_equal(remove_snapshot(s, id, "d2"), DUPLICATE);
	assert_sql(s, "4",
		"select in_use from public.quota_usages where resource = 'snapshots'");
}

static void one_that_is_read_is_busy(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE], clone[UUID_TEXT_SIZE];
	enum admission admission;
	struct source source;
	struct operation op;

	add(s, id);
	make(s, id, "r1");
	add_volume(s, "clone", SOURCE, clone);
	sql(s,
		"update public.volumes set status = 'creating', snapshot_id = '%s',"
		" size = 3 where id = '%s'",
		id, clone);
	ok(s, store_create_admit(s->db, clone, "c1", &admission, &s->err));
	sql(s, "update public.snapshots set status = 'deleting'");
	assert_fails(s, remove_snapshot(s, id, "d1"), ERR_SNAPSHOT_BUSY,
		"snapshot '%s' cannot be deleted: volume '%s' is being made from it",
		id, clone);
	ok(s, store_snapshot_delete_refused(s->db, id, "d1", true, &s->err));
	assert_snapshot(s, id, "available|100%|false");
	assert_sql(s, "VOLUME_VOLUME_SNAPSHOT_010_015",
		"select event_id from public.messages");
	AUTO(free)
	char *operation = sql_value(
		s, "select id from drover.operation where volume_id = '%s'", clone);
	assert_int_equal(
		store_operation_claim(s->db, operation, OWNER, &op, &s->err), 1);
	assert_int_equal(store_source_get(s->db, &op, &source, &s->err), 1);
	assert_string_equal(source.snapshot_id, id);
	assert_string_equal(source.name_id, id);
	assert_string_equal(source.host, SOURCE);
	/* Nobody writes a snapshot: its volume may be in use. */
	sql(s, "update public.volumes set status = 'in-use' where id = '%s'",
		s->volume);
	ok(s, store_source_copy(s->db, &op, &source, &s->err));
}

static void others_snapshots_are_left_alone(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];

	add(s, id);
	sql(s, "update public.snapshots set status = 'deleting', progress = '100%%'");
	assert_fails(s, remove_snapshot(s, id, "d1"), ERR_NOT_SUPPORTED,
		"snapshot '%s' cannot be deleted: it was not made by this service", id);
	ok(s, store_snapshot_delete_refused(s->db, id, "d1", false, &s->err));
	assert_snapshot(s, id, "error_deleting|100%|false");
	sql(s, "update public.snapshots set status = 'unmanaging'");
	ok(s, store_snapshot_unmanage_refused(s->db, id, &s->err));
	assert_snapshot(s, id, "available|100%|false");
}

static void a_cascade_takes_all(void **state)
{
	struct store *s = *state;
	struct delete_refusal refusal = { .request_id = "d1", .cascade = true };
	char one[UUID_TEXT_SIZE], two[UUID_TEXT_SIZE];
	enum admission admission;

	add_usages(s);
	add(s, one);
	add(s, two);
	make(s, one, "r1");
	make(s, two, "r2");
	sql(s, "update public.volumes set status = 'deleting'");
	sql(s, "update public.snapshots set status = 'deleting' where id = '%s'", one);
	assert_fails(s,
		store_delete_volume(s->db, s->volume, "d1", true, &admission, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be deleted: it has snapshots");
	AUTO(free) char *before = sql_everything(s);
	assert_fails(s,
		store_delete_cascade(s->db, s->volume, "d1", true, &admission, &s->err),
		ERR_INVALID_SNAPSHOT,
		"snapshot '%s' was found in state 'available' rather than 'deleting'",
		two);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(before, after);
	refusal.volume_id = s->volume;
	ok(s, store_delete_refused(s->db, &refusal, &s->err, &s->err));
	assert_volume(s, s->volume, "available|-|" SOURCE);
	assert_snapshot(s, one, "available|100%|false");

	sql(s, "update public.volumes set status = 'deleting'");
	sql(s, "update public.snapshots set status = 'deleting'");
	ok(s, store_delete_cascade(s->db, s->volume, "d2", false, &admission, &s->err));
	assert_int_equal(admission, ADMITTED);
	assert_snapshot(s, one, "deleted|100%|true");
	assert_snapshot(s, two, "deleted|100%|true");
	assert_sql(s, "deleted", "select status from public.volumes");
	/* Two snapshots without their gigabytes, a volume with its own. */
	assert_sql(s,
		"gigabytes=48 gigabytes___DEFAULT__=48 snapshots=3"
		" snapshots___DEFAULT__=3 snapshots_fast=5 volumes=4",
		usages);
	assert_sql(s, "3", "select count(*) from drover.garbage");
	ok(s, store_delete_cascade(s->db, s->volume, "d2", false, &admission, &s->err));
	assert_int_equal(admission, DUPLICATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_snapshot_is_made),
		STORE_TEST(a_snapshot_that_failed_says_so),
		STORE_TEST(a_refused_snapshot_is_in_error),
		STORE_TEST(while_one_is_made_its_volume_stays),
		STORE_TEST(a_snapshot_goes_with_its_quota),
		STORE_TEST(one_that_is_read_is_busy),
		STORE_TEST(others_snapshots_are_left_alone),
		STORE_TEST(a_cascade_takes_all),
	};

	return STORE_MAIN(tests);
}
