/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting a volume: what goes with it, and what forbids it. */
#include "tests/integration/store_fixture.h"

#include "common/store/deletes.h"

static int remove_volume(struct store *s, const char *request_id, bool from_api)
{
	enum admission admission;
	int result = store_delete_volume(
		s->db, s->volume, request_id, from_api, &admission, &s->err);

	return result < 0 ? -1 : (int)admission;
}

static const char usages[] =
	"select string_agg(resource || '=' || in_use, ' ' order by resource)"
	" from public.quota_usages where project_id = 'project'";

static void add_usages(struct store *s)
{
	sql(s,
		"insert into public.quota_usages (project_id, resource, in_use,"
		" reserved, deleted) values ('project', 'volumes', 5, 0, false),"
		" ('project', 'gigabytes', 50, 0, false),"
		" ('project', 'volumes___DEFAULT__', 1, 0, false),"
		" ('project', 'gigabytes___DEFAULT__', 1, 0, false),"
		" ('project', 'volumes_fast', 3, 0, false),"
		" ('project', 'snapshots', 3, 0, false),"
		" ('another', 'volumes', 3, 0, false)");
}

static void what_hangs_on_the_volume_goes_with_it(void **state)
{
	struct store *s = *state;

	sql(s,
		"update public.volumes set status = 'deleting',"
		" migration_status = 'success', terminated_at = '2024-05-01'");
	sql(s,
		"insert into public.volume_metadata (volume_id, key, deleted)"
		" values ('%s', 'k', false)",
		s->volume);
	sql(s,
		"insert into public.volume_admin_metadata (volume_id, key, deleted)"
		" values ('%s', 'k', false)",
		s->volume);
	sql(s,
		"insert into public.volume_glance_metadata (volume_id, key, deleted)"
		" values ('%s', 'k', false)",
		s->volume);
	sql(s,
		"insert into public.transfers (id, volume_id, deleted)"
		" values ('t', '%s', false)",
		s->volume);
	sql(s,
		"insert into public.workers (deleted, resource_type, resource_id,"
		" status) values (false, 'Volume', '%s', 'deleting')",
		s->volume);
	ok(s, db_listen(s->second, DONE_CHANNEL, &s->err));
	assert_int_equal(remove_volume(s, "r1", true), ADMITTED);
	assert_notified(s, DONE_CHANNEL, s->volume);
	assert_sql(s, "deleted|t|t|-|2024-05-01 00:00:00",
		"select concat_ws('|', status, deleted, deleted_at is not null,"
		" coalesce(migration_status, '-'), terminated_at)"
		" from public.volumes");
	assert_sql(s, "0 0 0 0 0",
		"select concat_ws(' ', (select count(*) from public.volume_metadata"
		" where not deleted), (select count(*) from"
		" public.volume_admin_metadata where not deleted), (select count(*)"
		" from public.volume_glance_metadata where not deleted),"
		" (select count(*) from public.transfers where not deleted),"
		" (select count(*) from public.workers where resource_type ="
		" 'Volume'))");
	assert_sql(s, "delete_volume|done|t",
		"select concat_ws('|', kind, phase, finished_at is not null)"
		" from drover.operation");
}

static void the_object_becomes_garbage(void **state)
{
	struct store *s = *state;
	AUTO(free) struct garbage *list = NULL;

	sql(s, "update public.volumes set _name_id = '" OWNER "'");
	ok(s, store_object_plan(s->db, NULL, SOURCE_BACKEND, "vol", OWNER, &s->err));
	ok(s,
		store_object_identify(
			s->db, NULL, SOURCE_BACKEND, "vol", "inode-1", &s->err));
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	assert_int_equal(remove_volume(s, "r1", false), ADMITTED);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_int_equal(
		store_garbage_due(s->db, SOURCE_BACKEND, 10, &list, &s->err), 1);
	assert_string_equal(list[0].name, "vol");
	assert_string_equal(list[0].identity, "inode-1");
	assert_string_equal(list[0].volume_id, OWNER);
	assert_string_equal(list[0].operation_id, "");
	assert_string_equal(list[0].reason, "deleted");
	assert_true(list[0].due);
	assert_int_equal(store_garbage_in_use(s->db, &list[0], &s->err), 0);
}

static void quota_is_given_back_when_it_was_counted(void **state)
{
	struct store *s = *state;

	add_usages(s);
	assert_int_equal(remove_volume(s, "r1", false), ADMITTED);
	/* Never below nothing. */
	assert_sql(s,
		"gigabytes=48 gigabytes___DEFAULT__=0 snapshots=3 volumes=4"
		" volumes___DEFAULT__=0 volumes_fast=3",
		usages);
	assert_int_equal(remove_volume(s, "r1", false), DUPLICATE);
	assert_sql(s,
		"gigabytes=48 gigabytes___DEFAULT__=0 snapshots=3 volumes=4"
		" volumes___DEFAULT__=0 volumes_fast=3",
		usages);
	assert_sql(s, "3",
		"select in_use from public.quota_usages"
		" where project_id = 'another'");
}

static void quota_is_left_alone_when_it_was_not(void **state)
{
	struct store *s = *state;

	add_usages(s);
	sql(s, "update public.volumes set use_quota = false");
	assert_int_equal(remove_volume(s, "r1", false), ADMITTED);
	assert_sql(s,
		"gigabytes=50 gigabytes___DEFAULT__=1 snapshots=3 volumes=5"
		" volumes___DEFAULT__=1 volumes_fast=3",
		usages);
}

static void asked_by_api(struct store *s)
{
	sql(s, "update public.volumes set status = 'deleting'");
}

static void a_request_is_known_afterwards(void **state)
{
	struct store *s = *state;

	asked_by_api(s);
	assert_int_equal(remove_volume(s, "r1", true), ADMITTED);
	AUTO(free) char *once = sql_everything(s);
	assert_int_equal(remove_volume(s, "r1", true), DUPLICATE);
	assert_fails(s, remove_volume(s, "r2", true), ERR_VOLUME_NOT_FOUND,
		"volume '%s' could not be found", s->volume);
	AUTO(free) char *twice = sql_everything(s);
	assert_string_equal(twice, once);
}

static void a_volume_without_a_place_has_no_object(void **state)
{
	struct store *s = *state;

	sql(s, "update public.volumes set host = null, status = 'error'");
	assert_int_equal(remove_volume(s, "r1", false), ADMITTED);
	assert_sql(s, "t", "select deleted from public.volumes");
	assert_sql(s, "0", "select count(*) from drover.garbage");
}

static void assert_refused(struct store *s, bool from_api, const char *text)
{
	AUTO(free) char *before = sql_everything(s);

	assert_fails(
		s, remove_volume(s, "r1", from_api), ERR_INVALID_VOLUME, "%s", text);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
}

static void only_some_statuses_allow_it(void **state)
{
	static const char *const allowed[] = { "available", "error", "error_deleting",
		"error_restoring", "error_extending", "error_managing", "creating" };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(allowed); i++) {
		store_reset(state);
		sql(s, "update public.volumes set status = '%s'", allowed[i]);
		assert_int_equal(remove_volume(s, "r1", false), ADMITTED);
	}
	store_reset(state);
	sql(s, "update public.volumes set status = 'in-use'");
	assert_refused(
		s, false, "volume 'data' cannot be deleted: its status is 'in-use'");
	assert_refused(
		s, true, "volume 'data' cannot be deleted: its status is 'in-use'");
	/* From the API tier it is late or comes twice: the volume is in use again. */
	sql(s, "update public.volumes set status = 'available'");
	assert_refused(
		s, true, "volume 'data' cannot be deleted: its status is 'available'");
	/* Written by the API tier, and its business alone. */
	sql(s, "update public.volumes set status = 'deleting'");
	assert_refused(
		s, false, "volume 'data' cannot be deleted: its status is 'deleting'");
	assert_int_equal(remove_volume(s, "r1", true), ADMITTED);
}

static void snapshots_and_attachments_forbid_it(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];

	sql(s, "update public.volumes set status = 'deleting'");
	add_snapshot(s, s->volume);
	assert_refused(s, true, "volume 'data' cannot be deleted: it has snapshots");
	sql(s, "update public.snapshots set deleted = true");
	add_attachment(s, s->volume, id);
	assert_refused(s, true,
		"volume 'data' cannot be deleted: it is attached to host guest");
	sql(s, "update public.volume_attachment set deleted = true");
	sql(s,
		"insert into drover.export (id, volume_id, host, kind, peer) values"
		" (gen_random_uuid(), '%s', '" SOURCE_BACKEND "', 'attachment', 'x')",
		s->volume);
	assert_refused(s, true, "volume 'data' cannot be deleted: it is connected");
	sql(s, "update drover.export set state = 'closed', closed_at = now()");
	assert_int_equal(remove_volume(s, "r1", true), ADMITTED);
}

static void unfinished_work_forbids_it(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "m1", &m);
	for (enum phase phase = PHASE_QUEUED; phase <= PHASE_SEALING; phase++) {
		if (!is_of_a_copy(phase))
			continue;
		bring_to(s, &m, phase);
		assert_refused(s, true,
			"volume 'data' cannot be deleted: it is already migrating to "
			"'" TARGET "'");
	}
	/* From the switch on the volume is free, and lies on the target. */
	bring_to(s, &m, PHASE_SETTLING);
	assert_int_equal(remove_volume(s, "r1", false), ADMITTED);
	assert_sql(s, "inode-7",
		"select identity from drover.garbage"
		" where host = '" TARGET_BACKEND "'");
	bring_to(s, &m, PHASE_DONE);
}

static void a_temporary_volume_is_not_the_operators_to_delete(void **state)
{
	struct store *s = *state;
	enum admission admission;
	struct migration m;

	admit_migration(s, "m1", &m);
	bring_to(s, &m, PHASE_COPYING);
	assert_fails(s,
		store_delete_volume(
			s->db, m.temporary_id, "r1", false, &admission, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be deleted: it is the target of a migration");
	bring_to(s, &m, PHASE_DONE);
}

/* What a Cinder's migration has made, and its switch left over, goes without a word. */
static void temporary_volumes_of_a_cinder_go_as_they_are(void **state)
{
	static const char *const statuses[] = { "target:x", "deleting" };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(statuses); i++) {
		store_reset(state);
		sql(s, "update public.volumes set migration_status = '%s'",
			statuses[i]);
		sql(s,
			"insert into drover.connection (volume_id, peer, request_id)"
			" values ('%s', 'source', 'c')",
			s->volume);
		assert_int_equal(remove_volume(s, "r1", true), ADMITTED);
	}
}

static int refuse(struct store *s, const char *request_id)
{
	const struct delete_refusal refusal = { .volume_id = s->volume,
		.request_id = request_id };
	struct error why;

	error_set(&why, ERR_INVALID_VOLUME, "because");
	return store_delete_refused(s->db, &refusal, &why, &s->err);
}

static void what_was_refused_deletes_nothing_later(void **state)
{
	struct store *s = *state;

	asked_by_api(s);
	add_snapshot(s, s->volume);
	assert_refused(s, true, "volume 'data' cannot be deleted: it has snapshots");
	assert_int_equal(refuse(s, "r1"), 1);
	assert_volume(s, s->volume, "available|-|" SOURCE);
	assert_sql(s, "failed|because",
		"select phase || '|' || reason from drover.operation");
	sql(s, "update public.snapshots set deleted = true");
	/* The second one finds its status, the first one comes again. */
	asked_by_api(s);
	assert_int_equal(remove_volume(s, "r1", true), DUPLICATE);
	assert_int_equal(refuse(s, "r1"), 0);
	assert_volume(s, s->volume, "deleting|-|" SOURCE);
	assert_int_equal(remove_volume(s, "r2", true), ADMITTED);
	assert_int_equal(refuse(s, "r2"), 0);
}

static void who_was_told_where_it_is_may_be_writing(void **state)
{
	struct store *s = *state;

	asked_by_api(s);
	sql(s,
		"insert into drover.connection (volume_id, peer, request_id)"
		" values ('%s', 'writer', 'c')",
		s->volume);
	assert_refused(s, true,
		"volume 'data' cannot be deleted: it is connected to host 'writer'; "
		"when that is over, 'drover disconnect' says so");
	sql(s, "update drover.connection set closed_at = now()");
	assert_int_equal(remove_volume(s, "r1", true), ADMITTED);
}

/* It was never counted, and when it stays it is what it was. */
static void what_could_not_be_managed_is_deleted(void **state)
{
	struct store *s = *state;

	sql(s, "update public.volumes set status = 'error_managing_deleting'");
	add_usages(s);
	add_snapshot(s, s->volume);
	assert_refused(s, true, "volume 'data' cannot be deleted: it has snapshots");
	assert_int_equal(refuse(s, "r1"), 1);
	assert_volume(s, s->volume, "error_managing|-|" SOURCE);
	sql(s, "update public.snapshots set deleted = true");
	sql(s, "update public.volumes set status = 'error_managing_deleting'");
	assert_int_equal(remove_volume(s, "r2", true), ADMITTED);
	assert_sql(s, "5",
		"select in_use from public.quota_usages where resource = 'volumes'"
		" and project_id = 'project'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(what_hangs_on_the_volume_goes_with_it),
		STORE_TEST(the_object_becomes_garbage),
		STORE_TEST(quota_is_given_back_when_it_was_counted),
		STORE_TEST(quota_is_left_alone_when_it_was_not),
		STORE_TEST(a_request_is_known_afterwards),
		STORE_TEST(a_volume_without_a_place_has_no_object),
		STORE_TEST(only_some_statuses_allow_it),
		STORE_TEST(snapshots_and_attachments_forbid_it),
		STORE_TEST(unfinished_work_forbids_it),
		STORE_TEST(a_temporary_volume_is_not_the_operators_to_delete),
		STORE_TEST(temporary_volumes_of_a_cinder_go_as_they_are),
		STORE_TEST(what_was_refused_deletes_nothing_later),
		STORE_TEST(who_was_told_where_it_is_may_be_writing),
		STORE_TEST(what_could_not_be_managed_is_deleted),
	};

	return STORE_MAIN(tests);
}
