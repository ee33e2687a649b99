/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that grow, or are made from others; who may do what meanwhile. */
#include "common/store/deletes.h"
#include "common/store/growth.h"
#include "common/store/sources.h"
#include "tests/integration/store_fixture.h"

#define ONE "00000000-0000-4000-8000-0000000000a1"
#define TWO "00000000-0000-4000-8000-0000000000a2"

static const char usages[] =
	"select string_agg(resource || '=' || in_use || '+' || reserved, ' '"
	" order by resource) from public.quota_usages";

/* What the API tier does before it asks for 5 GiB. */
static void extending(struct store *s)
{
	sql(s,
		"update public.volumes set status = 'extending',"
		" previous_status = 'available' where id = '%s'",
		s->volume);
	sql(s,
		"insert into public.quota_usages (id, project_id, resource, in_use,"
		" reserved, deleted) values (901, 'project', 'gigabytes', 2, 3, false),"
		" (902, 'project', 'gigabytes___DEFAULT__', 2, 3, false)");
	sql(s,
		"insert into public.reservations (uuid, usage_id, delta, deleted)"
		" values ('" ONE "', 901, 3, false), ('" TWO "', 902, 3, false)");
}

static int ask_growth(struct store *s, const char *request_id, int64_t size)
{
	static const char *const reservations[] = { ONE, TWO, NULL };
	const struct growth_request request = { s->volume, request_id, size,
		reservations, NULL };
	enum admission admission;
	int done = store_growth_admit(s->db, &request, &admission, &s->err);

	return done < 0 ? -1 : (int)admission;
}

static void refuse_growth(struct store *s, const char *request_id, bool failed)
{
	static const char *const reservations[] = { ONE, TWO, NULL };
	const struct growth_request request = { s->volume, request_id, 5, reservations,
		NULL };
	struct error why;

	error_set(&why, ERR_INVALID_VOLUME, "because");
	ok(s, store_growth_refuse(s->db, &request, failed, &why, &s->err));
}

/* The newest operation, claimed and started. */
static void begin(struct store *s, struct operation *op)
{
	AUTO(free)
	char *id = sql_value(s,
		"select id from drover.operation where finished_at is null"
		" order by created_at desc limit 1");

	assert_int_equal(store_operation_claim(s->db, id, OWNER, op, &s->err), 1);
	ok(s, store_operation_start(s->db, op, &s->err));
}

static void a_volume_grows_with_its_quota(void **state)
{
	struct store *s = *state;
	struct operation op, stale;
	int64_t size = 0;

	extending(s);
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	assert_int_equal(ask_growth(s, "r1", 5), ADMITTED);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_int_equal(ask_growth(s, "r1", 5), DUPLICATE);
	assert_fails(s, ask_growth(s, "r2", 6), ERR_INVALID_VOLUME,
		"volume 'data' cannot be extended: it is being extended");
	begin(s, &op);
	assert_int_equal(store_growth_get(s->db, &op, &size, &s->err), 1);
	assert_int_equal(size, 5);
	/* What it has reserved does not expire under it. */
	assert_sql(s, "t",
		"select bool_and(expire > localtimestamp + interval '1 year')"
		" from public.reservations where not deleted");
	assert_sql(s, "gigabytes=2+3 gigabytes___DEFAULT__=2+3", usages);
	stale = op;
	ok(s, store_growth_done(s->db, &op, &s->err));
	assert_volume(s, s->volume, "available|-|" SOURCE);
	assert_sql(s, "5", "select size from public.volumes");
	assert_sql(s, "gigabytes=5+0 gigabytes___DEFAULT__=5+0", usages);
	assert_sql(
		s, "0", "select count(*) from public.reservations where not deleted");
	/* After a commit of unknown outcome, and after the request came again. */
	ok(s, store_growth_done(s->db, &stale, &s->err));
	assert_sql(s, "gigabytes=5+0 gigabytes___DEFAULT__=5+0", usages);
	assert_int_equal(ask_growth(s, "r1", 5), DUPLICATE);
	/* It may be growing on by then. */
	sql(s, "update public.volumes set size = 7, status = 'extending'");
	ok(s, store_growth_done(s->db, &stale, &s->err));
	assert_sql(
		s, "extending|7", "select status || '|' || size from public.volumes");
}

static void what_cannot_grow_is_as_cinder_leaves_it(void **state)
{
	struct store *s = *state;
	struct operation op;
	struct error why;

	extending(s);
	assert_int_equal(ask_growth(s, "r1", 5), ADMITTED);
	begin(s, &op);
	error_set(&why, ERR_NO_SPACE, "the disk is full");
	for (int i = 0; i < 2; i++)
		ok(s, store_growth_failed(s->db, &op, &why, &s->err));
	assert_volume(s, s->volume, "error_extending|-|" SOURCE);
	assert_sql(s, "2", "select size from public.volumes");
	assert_sql(s, "gigabytes=2+0 gigabytes___DEFAULT__=2+0", usages);
	assert_sql(s, "VOLUME_VOLUME_007_010|007|010|r1",
		"select concat_ws('|', event_id, action_id, detail_id, request_id)"
		" from public.messages");
	assert_sql(s, "failed|no_space|the disk is full",
		"select concat_ws('|', phase, error_code, reason)"
		" from drover.operation");
}

static void a_refused_growth_is_put_back(void **state)
{
	struct store *s = *state;
	char attachment[UUID_TEXT_SIZE];

	extending(s);
	assert_fails(s, ask_growth(s, "r1", 2), ERR_INVALID_INPUT,
		"the new size must be greater than the current size (current: 2, "
		"extended: 2)");
	refuse_growth(s, "r1", false);
	assert_volume(s, s->volume, "available|-|" SOURCE);
	assert_sql(s, "gigabytes=2+0 gigabytes___DEFAULT__=2+0", usages);
	assert_sql(s, "1", "select count(*) from public.messages");
	/* A refused request that comes again is known, whatever was asked since. */
	sql(s, "update public.volumes set status = 'extending'");
	assert_int_equal(ask_growth(s, "r1", 5), DUPLICATE);
	sql(s, "update public.volumes set status = 'available'");
	/* Again: nothing more is taken from the usages. */
	sql(s, "update public.quota_usages set reserved = 7");
	refuse_growth(s, "r1", false);
	assert_sql(s, "gigabytes=2+7 gigabytes___DEFAULT__=2+7", usages);
	assert_sql(s, "1", "select count(*) from public.messages");

	assert_fails(s, ask_growth(s, "r2", 5), ERR_INVALID_VOLUME,
		"volume 'data' has status 'available', not extending");
	add_attachment(s, s->volume, attachment);
	sql(s, "update public.volumes set status = 'extending'");
	assert_fails(s, ask_growth(s, "r2", 5), ERR_NOT_SUPPORTED,
		"volume 'data' cannot be extended while it is attached to host guest");
	refuse_growth(s, "r2", true);
	assert_volume(s, s->volume, "error_extending|-|" SOURCE);
	assert_sql(s, "failed|because",
		"select phase || '|' || reason from drover.operation"
		" where request_id = 'r2'");
}

static void growth_is_refused_during_a_migration(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "m1", &m);
	bring_to(s, &m, PHASE_COPYING);
	extending(s);
	assert_fails(s, ask_growth(s, "r1", 5), ERR_INVALID_VOLUME,
		"volume 'data' cannot be extended: it is already migrating to "
		"'" TARGET "'");
	refuse_growth(s, "r1", false);
	assert_volume(s, s->volume, "available|migrating|" SOURCE);
	bring_to(s, &m, PHASE_DONE);
	assert_volume(s, s->volume, "available|-|" TARGET);
}

static void nothing_else_runs_while_it_grows(void **state)
{
	struct store *s = *state;
	struct migration_request request = request_of(s, "m1");
	struct delete_refusal refusal = { .request_id = "d1" };
	enum admission admission;
	struct operation op;

	extending(s);
	assert_int_equal(ask_growth(s, "r1", 5), ADMITTED);
	assert_fails(s, store_migration_admit(s->db, &request, &admission, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be migrated: it is being extended");
	sql(s, "update public.volumes set status = 'deleting'");
	assert_fails(s,
		store_delete_volume(s->db, s->volume, "d1", true, &admission, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be deleted: it is being extended");
	refusal.volume_id = s->volume;
	ok(s, store_delete_refused(s->db, &refusal, &s->err, &s->err));
	assert_volume(s, s->volume, "extending|-|" SOURCE);
	begin(s, &op);
	/* An administrator's reset is kept, the size counts all the same. */
	sql(s, "update public.volumes set status = 'error'");
	ok(s, store_growth_done(s->db, &op, &s->err));
	assert_sql(s, "error|5", "select status || '|' || size from public.volumes");
}

static void a_volume_that_is_gone_gives_its_reservations_back(void **state)
{
	struct store *s = *state;
	struct operation op;
	struct error why;

	extending(s);
	assert_int_equal(ask_growth(s, "r1", 5), ADMITTED);
	begin(s, &op);
	sql(s, "update public.volumes set deleted = true");
	assert_fails(
		s, store_growth_done(s->db, &op, &s->err), ERR_VOLUME_NOT_FOUND, NULL);
	error_set(&why, ERR_VOLUME_NOT_FOUND, "gone");
	ok(s, store_growth_failed(s->db, &op, &why, &s->err));
	assert_sql(s, "gigabytes=2+0 gigabytes___DEFAULT__=2+0", usages);
}

/* ---- volumes from volumes ---- */

/* Another volume that is to be made from the test's. */
static void add_clone(struct store *s, char id[UUID_TEXT_SIZE])
{
	add_volume(s, "clone", SOURCE, id);
	sql(s,
		"update public.volumes set status = 'creating', source_volid = '%s'"
		" where id = '%s'",
		s->volume, id);
}

static int ask_create(struct store *s, const char *id, const char *request_id)
{
	enum admission admission;

	return store_create_admit(s->db, id, request_id, &admission, &s->err);
}

static void a_source_stays_as_it_is_meanwhile(void **state)
{
	struct store *s = *state;
	struct migration_request request = request_of(s, "m1");
	char clone[UUID_TEXT_SIZE], second[UUID_TEXT_SIZE];
	enum admission admission;
	struct source source;
	struct operation op;
	struct volume v;

	add_clone(s, clone);
	ok(s, ask_create(s, clone, "c1"));
	begin(s, &op);
	assert_int_equal(store_source_get(s->db, &op, &source, &s->err), 1);
	assert_string_equal(source.volume_id, s->volume);
	assert_string_equal(source.name_id, s->volume);
	assert_string_equal(source.host, SOURCE);
	assert_false(source.copies);
	assert_fails(s, store_migration_admit(s->db, &request, &admission, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be migrated: volume '%s' is being made from it",
		clone);
	assert_fails(s,
		store_delete_volume(s->db, s->volume, "d1", false, &admission, &s->err),
		ERR_INVALID_VOLUME, NULL);
	/* A clone of the storage is of one moment: others may write, and read. */
	assert_int_equal(store_volume_get(s->db, s->volume, &v, &s->err), 1);
	assert_int_equal(store_volume_free(s->db, &v, VOLUME_WRITE, "x", &s->err), 0);
	add_clone(s, second);
	ok(s, ask_create(s, second, "c2"));
	ok(s, store_source_copy(s->db, &op, &source, &s->err));
	assert_true(source.copies);
	assert_fails(s,
		store_volume_free(s->db, &v, VOLUME_WRITE, "be attached", &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be attached: volume '%s' is being made from it",
		clone);
	assert_int_equal(store_volume_free(s->db, &v, VOLUME_READ, "x", &s->err), 0);
	/* The new volume is being made, whatever one wants with it. */
	assert_int_equal(store_volume_get(s->db, clone, &v, &s->err), 1);
	assert_fails(s, store_volume_free(s->db, &v, VOLUME_READ, "be read", &s->err),
		ERR_INVALID_VOLUME,
		"volume 'clone' cannot be read: it is being created");
}

static void a_copy_goes_on_from_its_checkpoint(void **state)
{
	struct store *s = *state;
	char clone[UUID_TEXT_SIZE], attachment[UUID_TEXT_SIZE];
	struct operation op, second;
	struct source source;

	add_clone(s, clone);
	ok(s, ask_create(s, clone, "c1"));
	begin(s, &op);
	ok(s, store_source_get(s->db, &op, &source, &s->err));
	add_attachment(s, s->volume, attachment);
	assert_fails(s, store_source_copy(s->db, &op, &source, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' is in use and '" SOURCE
		"' cannot clone it in one moment: detach it first");
	sql(s, "delete from public.volume_attachment");
	/* A share that somebody was told of. */
	sql(s,
		"insert into drover.connection (volume_id, peer, request_id)"
		" values ('%s', 'writer', 'c')",
		s->volume);
	assert_fails(s, store_source_copy(s->db, &op, &source, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' is connected to host 'writer' and '" SOURCE
		"' cannot clone it in one moment; when that is over, 'drover "
		"disconnect' says so");
	sql(s, "update drover.connection set closed_at = now()");
	ok(s, store_source_copy(s->db, &op, &source, &s->err));
	ok(s, store_source_checkpoint(s->db, &op, 4096, "chain", 10, &s->err));
	ok(s, store_source_wanted(s->db, &op, &s->err));
	assert_int_equal(
		store_operation_claim(s->db, op.id, OWNER, &second, &s->err), 1);
	assert_fails(s, store_source_checkpoint(s->db, &op, 8192, "x", 20, &s->err),
		ERR_FENCED, NULL);
	assert_fails(s, store_source_wanted(s->db, &op, &s->err), ERR_FENCED, NULL);
	assert_fails(
		s, store_source_copy(s->db, &op, &source, &s->err), ERR_FENCED, NULL);
	ok(s, store_source_get(s->db, &second, &source, &s->err));
	assert_true(source.copies);
	assert_int_equal(source.checkpoint, 4096);
	assert_string_equal(source.digest, "chain");
	sql(s, "update public.volumes set deleted = true where id = '%s'", s->volume);
	assert_fails(s, store_source_get(s->db, &second, &source, &s->err),
		ERR_NOT_FOUND, "volume '%s' is not there any more", s->volume);
}

static void what_an_image_said_is_inherited(void **state)
{
	struct store *s = *state;
	char clone[UUID_TEXT_SIZE];
	struct operation op, stale;

	add_clone(s, clone);
	sql(s,
		"insert into public.volume_glance_metadata (volume_id, key, value,"
		" deleted) values ('%s', 'min_disk', '1', false),"
		" ('%s', 'gone', 'x', true)",
		s->volume, s->volume);
	sql(s, "update public.volumes set bootable = true where id = '%s'", s->volume);
	ok(s, ask_create(s, clone, "c1"));
	begin(s, &op);
	stale = op;
	ok(s, store_create_done(s->db, &op, "", &s->err));
	ok(s, store_create_done(s->db, &stale, "", &s->err));
	assert_volume(s, clone, "available|-|" SOURCE);
	assert_sql(
		s, "t", "select bootable from public.volumes where id = '%s'", clone);
	assert_sql(s, "min_disk=1",
		"select string_agg(key || '=' || value, ' ')"
		" from public.volume_glance_metadata where volume_id = '%s'",
		clone);
	/* Nobody reads the source any more. */
	assert_sql(s, "1", "select count(*) from drover.source");
	struct volume v;
	assert_int_equal(store_volume_get(s->db, s->volume, &v, &s->err), 1);
	assert_int_equal(store_volume_idle(s->db, &v, "be moved", &s->err), 0);
}

static void what_no_volume_can_be_made_from(void **state)
{
	struct store *s = *state;
	struct error why;
	char clone[UUID_TEXT_SIZE];
	struct migration m;

	add_clone(s, clone);
	sql(s, "update public.volumes set size = 1 where id = '%s'", clone);
	assert_fails(s, ask_create(s, clone, "c1"), ERR_INVALID_INPUT,
		"volume 'clone' of 1 GiB is smaller than its source, which has 2 GiB");
	sql(s, "update public.volumes set size = 3 where id = '%s'", clone);
	sql(s, "update public.volumes set status = 'error' where id = '%s'", s->volume);
	assert_fails(s, ask_create(s, clone, "c1"), ERR_INVALID_VOLUME,
		"volume 'data' cannot be copied: its status is 'error'");
	sql(s, "update public.volumes set status = 'available' where id = '%s'",
		s->volume);
	sql(s,
		"insert into public.volume_admin_metadata (volume_id, key, value,"
		" deleted) values ('%s', 'format', 'qcow2', false)",
		s->volume);
	assert_fails(s, ask_create(s, clone, "c1"), ERR_INVALID_VOLUME,
		"volume 'data' cannot be copied: its format is 'qcow2', not raw");
	sql(s, "delete from public.volume_admin_metadata");
	admit_migration(s, "m1", &m);
	assert_fails(s, ask_create(s, clone, "c1"), ERR_INVALID_VOLUME, NULL);
	sql(s,
		"update public.volumes set source_volid = null,"
		" snapshot_id = '" ONE "' where id = '%s'",
		clone);
	assert_fails(s, ask_create(s, clone, "c1"), ERR_SNAPSHOT_NOT_FOUND,
		"snapshot '" ONE "' could not be found");
	error_set(&why, ERR_SNAPSHOT_NOT_FOUND, "because");
	ok(s, store_create_refuse(s->db, clone, "c1", &why, &s->err));
	assert_volume(s, clone, "error|-|" SOURCE);
	assert_sql(s, "failed|snapshot_not_found|because",
		"select concat_ws('|', phase, error_code, reason)"
		" from drover.operation where volume_id = '%s'",
		clone);
	assert_sql(s, "VOLUME_VOLUME_008_012", "select event_id from public.messages");
	/* A temporary volume of a Cinder begins empty whatever it names. */
	sql(s,
		"update public.volumes set status = 'creating',"
		" migration_status = 'target:x' where id = '%s'",
		clone);
	ok(s, ask_create(s, clone, "c2"));
	assert_sql(s, "0", "select count(*) from drover.source");
	/* Nor does a second request's refusal touch the first one's work. */
	ok(s, store_create_refuse(s->db, clone, "c3", &why, &s->err));
	assert_volume(s, clone, "creating|target:x|" SOURCE);
}

static void a_forced_deletion_ends_a_creation(void **state)
{
	struct store *s = *state;
	char clone[UUID_TEXT_SIZE];
	enum admission admission;
	struct operation op;

	add_clone(s, clone);
	ok(s, ask_create(s, clone, "c1"));
	begin(s, &op);
	assert_fails(s,
		store_delete_volume(s->db, clone, "d1", false, &admission, &s->err),
		ERR_INVALID_VOLUME, NULL);
	sql(s, "update public.volumes set status = 'deleting' where id = '%s'", clone);
	ok(s, store_delete_volume(s->db, clone, "d1", true, &admission, &s->err));
	assert_fails(s, store_create_done(s->db, &op, "", &s->err), ERR_FENCED, NULL);
	assert_fails(s, store_source_wanted(s->db, &op, &s->err), ERR_FENCED, NULL);
	assert_sql(s, "cancelled|the volume was deleted",
		"select phase || '|' || reason from drover.operation"
		" where kind = 'create_volume'");
	assert_sql(s, "working|cancelled",
		"select from_phase || '|' || to_phase from drover.transition"
		" order by id desc limit 1");
	assert_sql(s, "deleted", "select status from public.volumes where id = '%s'",
		clone);
	assert_sql(s, "1", "select count(*) from drover.garbage where volume_id = '%s'",
		clone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_volume_grows_with_its_quota),
		STORE_TEST(what_cannot_grow_is_as_cinder_leaves_it),
		STORE_TEST(a_refused_growth_is_put_back),
		STORE_TEST(growth_is_refused_during_a_migration),
		STORE_TEST(nothing_else_runs_while_it_grows),
		STORE_TEST(a_volume_that_is_gone_gives_its_reservations_back),
		STORE_TEST(a_source_stays_as_it_is_meanwhile),
		STORE_TEST(a_copy_goes_on_from_its_checkpoint),
		STORE_TEST(what_an_image_said_is_inherited),
		STORE_TEST(what_no_volume_can_be_made_from),
		STORE_TEST(a_forced_deletion_ends_a_creation),
	};

	return STORE_MAIN(tests);
}
