/* SPDX-License-Identifier: Apache-2.0 */
/* What the scheduler reads of types and origins, and rows of requests that are refused. */
#include "common/store/expired.h"
#include "common/store/growth.h"
#include "common/store/messages.h"
#include "common/store/refusals.h"
#include "common/store/types.h"
#include "tests/integration/store_fixture.h"

#define GROUP "00000000-0000-4000-8000-00000000aaaa"

/* ---- types and origins ---- */

static void the_extra_specs_of_a_type_are_read(void **state)
{
	AUTO(json_object_put) struct json_object *specs = NULL, *none = NULL;
	struct store *s = *state;
	struct volume volume;

	ok(s, store_volume_get(s->db, s->volume, &volume, &s->err));
	sql(s,
		"insert into public.volume_type_extra_specs (volume_type_id, key, value,"
		" deleted) values ('%1$s', 'a', '<is> True', false),"
		" ('%1$s', 'b:c', null, false), ('%1$s', 'gone', 'x', true)",
		volume.volume_type_id);
	ok(s, store_type_specs(s->db, volume.volume_type_id, &specs, &s->err));
	assert_string_equal(
		json_object_to_json_string_ext(specs, JSON_C_TO_STRING_PLAIN),
		"{\"a\":\"<is> True\",\"b:c\":null}");
	ok(s, store_type_specs(s->db, "no such type", &none, &s->err));
	assert_int_equal(json_object_object_length(none), 0);
	sql(s, "delete from public.volume_type_extra_specs");
}

static void an_origin_is_where_its_volume_is(void **state)
{
	struct store *s = *state;
	struct volume volume;
	char host[ADDRESS_SIZE];

	ok(s, store_volume_get(s->db, s->volume, &volume, &s->err));
	ok(s, store_volume_origin(s->db, &volume, host, &s->err));
	assert_string_equal(host, "");
	snprintf(volume.source_volid, sizeof(volume.source_volid), "%s", s->volume);
	ok(s, store_volume_origin(s->db, &volume, host, &s->err));
	assert_string_equal(host, SOURCE);
	volume.source_volid[0] = '\0';
	sql(s,
		"insert into public.snapshots (id, volume_id, volume_type_id, deleted)"
		" select 'snap', id, volume_type_id, false from public.volumes");
	snprintf(volume.snapshot_id, sizeof(volume.snapshot_id), "snap");
	ok(s, store_volume_origin(s->db, &volume, host, &s->err));
	assert_string_equal(host, SOURCE);
	sql(s, "update public.snapshots set deleted = true");
	assert_fails(s, store_volume_origin(s->db, &volume, host, &s->err),
		ERR_NOT_FOUND, "what volume '%s' is made from is not there any more",
		s->volume);
}

/* ---- refusals ---- */

static int refuse_growth(struct store *s, const char *request_id)
{
	struct growth_request request = { .volume_id = s->volume,
		.request_id = request_id,
		.new_size = 5,
		.detail = MESSAGE_NO_BACKEND };
	struct error why;

	error_set(&why, ERR_NO_VALID_BACKEND, "there is no room");
	return store_growth_refuse(s->db, &request, false, &why, &s->err);
}

static void only_who_was_put_back_is_told(void **state)
{
	struct store *s = *state;

	sql(s,
		"update public.volumes set status = 'extending', project_id = 'p',"
		" previous_status = 'in-use'");
	for (int i = 0; i < 2; i++)
		ok(s, refuse_growth(s, "req-1"));
	assert_volume(s, s->volume, "in-use|-|" SOURCE);
	assert_sql(s, "VOLUME_VOLUME_007_003|req-1|p",
		"select string_agg(concat_ws('|', event_id, request_id, project_id),"
		" ' ') from public.messages where resource_uuid = '%s'",
		s->volume);
	sql(s, "delete from public.messages");
	/* Again, while a second one is on its way. */
	sql(s, "update public.volumes set status = 'extending'");
	ok(s, refuse_growth(s, "req-1"));
	assert_volume(s, s->volume, "extending|-|" SOURCE);
}

/* The scheduler tries again when it does not know whether its message has arrived. */
static void what_was_admitted_is_not_refused_later(void **state)
{
	struct store *s = *state;
	struct growth_request request = {
		.volume_id = s->volume, .request_id = "r1", .new_size = 5
	};
	enum admission admission;

	sql(s,
		"update public.volumes set status = 'extending',"
		" previous_status = 'available'");
	ok(s, store_growth_admit(s->db, &request, &admission, &s->err));
	ok(s, refuse_growth(s, "r1"));
	assert_volume(s, s->volume, "extending|-|" SOURCE);
	sql(s,
		"update drover.operation set kind = 'create_snapshot',"
		" snapshot_id = volume_id");
	sql(s,
		"insert into public.snapshots (id, volume_id, volume_type_id, status,"
		" deleted) select id, id, volume_type_id, 'creating', false"
		" from public.volumes");
	assert_int_equal(store_refuse_snapshot(s->db, s->volume, &s->err), 0);
	sql(s,
		"update drover.operation set phase = 'failed', reason = 'x',"
		" finished_at = now()");
	assert_int_equal(store_refuse_snapshot(s->db, s->volume, &s->err), 1);
}

static void each_kind_of_row_gets_its_status(void **state)
{
	static const struct {
		const char *before;
		int (*refuse)(struct db *db, const char *id, struct error *err);
		const char *after; /* of the volume, its snapshot, the group */
	} kinds[] = {
		{ "update public.snapshots set status = 'creating'",
			store_refuse_snapshot, "available|error|available" },
		{ "update public.snapshots set status = 'restoring'",
			store_refuse_revert, "available|available|available" },
		{ "update public.snapshots set status = 'deleting'",
			store_refuse_snapshot, NULL },
		{ "update public.volumes set status = 'managing'", store_refuse_manage,
			"error_managing|available|available" },
		{ "select 1", store_refuse_manage, NULL },
		{ "update public.groups set status = 'updating'", store_refuse_group,
			"available|available|error" },
		{ "select 1", store_refuse_group, NULL },
	};
	static const char states[] =
		"select concat_ws('|', v.status, p.status, g.status) from"
		" public.volumes v, public.snapshots p, public.groups g"
		" where v.id = p.id and g.id = p.id";
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		store_reset(state);
		sql(s,
			"insert into public.snapshots (id, volume_id, volume_type_id,"
			" status, deleted) select id, id, volume_type_id, 'available',"
			" false from public.volumes");
		sql(s,
			"insert into public.groups (id, status, deleted)"
			" values ('%s', 'available', false)",
			s->volume);
		sql(s, "%s", kinds[i].before);
		AUTO(free) char *before = sql_value(s, states);
		assert_int_equal(kinds[i].refuse(s->db, s->volume, &s->err),
			kinds[i].after ? 1 : 0);
		assert_sql(s, kinds[i].after ? kinds[i].after : before, "%s", states);
		sql(s, "delete from public.groups");
	}
}

static void a_refused_backup_says_why(void **state)
{
	struct store *s = *state;

	sql(s,
		"insert into public.backups (id, volume_id, status, deleted)"
		" values ('" GROUP "', '%s', 'creating', false)",
		s->volume);
	sql(s,
		"update public.volumes set status = 'backing-up',"
		" previous_status = 'available'");
	for (int i = 1; i >= 0; i--)
		assert_int_equal(store_refuse_backup(s->db, GROUP, "no", &s->err), i);
	assert_sql(s, "error|no",
		"select concat_ws('|', status, fail_reason) from public.backups");
	assert_volume(s, s->volume, "available|-|" SOURCE);
	sql(s, "delete from public.backups");
}

/* ---- what has had its time ---- */

static void what_expired_is_removed(void **state)
{
	struct store *s = *state;

	sql(s,
		"insert into public.quota_usages (project_id, resource, in_use,"
		" reserved) values ('p', 'volumes', 10, 7)");
	sql(s,
		"insert into public.reservations (uuid, usage_id, project_id, resource,"
		" delta, deleted, expire) select r.uuid, u.id, 'p', 'volumes', r.delta,"
		" r.gone, localtimestamp + r.at from public.quota_usages u, (values"
		" ('a', 2, false, interval '-1 s'), ('b', 3, false, interval '-1 day'),"
		" ('c', -4, false, interval '-1 s'), ('d', 1, true, interval '-1 s'),"
		" ('e', 1, false, interval '1 h')) as r (uuid, delta, gone, at)");
	sql(s,
		"insert into public.messages (id, project_id, message_level, event_id,"
		" deleted, expires_at) values"
		" ('old', 'p', 'ERROR', 'x', false, localtimestamp - interval '1 s'),"
		" ('new', 'p', 'ERROR', 'x', false, localtimestamp + interval '1 h')");
	assert_int_equal(store_expire_reservations(s->db, &s->err), 1);
	assert_int_equal(store_expire_reservations(s->db, &s->err), 0);
	assert_sql(
		s, "10/2", "select in_use || '/' || reserved from public.quota_usages");
	assert_sql(s, "e",
		"select string_agg(uuid, ' ') from public.reservations where not"
		" deleted");
	assert_int_equal(store_expire_messages(s->db, &s->err), 1);
	assert_sql(s, "new", "select id from public.messages where not deleted");
	sql(s, "delete from public.messages");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(the_extra_specs_of_a_type_are_read),
		STORE_TEST(an_origin_is_where_its_volume_is),
		STORE_TEST(only_who_was_put_back_is_told),
		STORE_TEST(what_was_admitted_is_not_refused_later),
		STORE_TEST(each_kind_of_row_gets_its_status),
		STORE_TEST(a_refused_backup_says_why),
		STORE_TEST(what_expired_is_removed),
	};

	return STORE_MAIN(tests);
}
