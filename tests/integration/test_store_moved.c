/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked before a request is sent on to a volume's new host. */
#include "common/store/moved.h"
#include "tests/integration/store_fixture.h"

static void a_request_is_known_by_volume_kind_and_id(void **state)
{
	struct store *s = *state;
	struct migration m;
	char other[UUID_TEXT_SIZE];

	add_volume(s, "other", SOURCE, other);
	assert_int_equal(store_request_known(
				 s->db, s->volume, "migrate_volume", "req-1", &s->err),
		0);
	admit_migration(s, "req-1", &m);
	assert_int_equal(store_request_known(
				 s->db, s->volume, "migrate_volume", "req-1", &s->err),
		1);
	assert_int_equal(store_request_known(
				 s->db, s->volume, "delete_volume", "req-1", &s->err),
		0);
	assert_int_equal(store_request_known(
				 s->db, s->volume, "migrate_volume", "req-2", &s->err),
		0);
	assert_int_equal(
		store_request_known(s->db, other, "migrate_volume", "req-1", &s->err),
		0);
	/* For ever. */
	sql(s,
		"update drover.operation set phase = 'cancelled', reason = 'test',"
		" finished_at = now()");
	assert_int_equal(store_request_known(
				 s->db, s->volume, "migrate_volume", "req-1", &s->err),
		1);
}

static void a_services_version_is_in_its_row(void **state)
{
	struct store *s = *state;
	char version[RPC_VERSION_SIZE] = "untouched";

	sql(s,
		"update public.services set rpc_current_version = '3.16'"
		" where host = '" ELSEWHERE_BACKEND "'");
	assert_int_equal(
		store_service_rpc_version(s->db, "nowhere@none", version, &s->err), 0);
	assert_string_equal(version, "untouched");
	assert_int_equal(
		store_service_rpc_version(s->db, ELSEWHERE_BACKEND, version, &s->err),
		1);
	assert_string_equal(version, "3.16");
	sql(s, "update public.services set rpc_current_version = null");
	assert_int_equal(
		store_service_rpc_version(s->db, ELSEWHERE_BACKEND, version, &s->err),
		1);
	assert_string_equal(version, "");
	sql(s, "update public.services set deleted = true");
	assert_int_equal(
		store_service_rpc_version(s->db, ELSEWHERE_BACKEND, version, &s->err),
		0);
}

static void an_object_is_brought_up_to_date(void **state)
{
	static const char text[] =
		"{\"id\": \"x\", \"host\": \"old\", \"_name_id\": null,"
		" \"provider_location\": \"old\", \"cluster_name\": \"old\","
		" \"display_name\": \"kept\"}";
	static const char want[] =
		"{\"id\":\"x\",\"host\":\"two@c#p\",\"_name_id\":\"n\","
		"\"provider_location\":\"there\",\"cluster_name\":null,"
		"\"display_name\":\"kept\"}";
	struct store *s = *state;
	AUTO(json_object_put) struct json_object *data = NULL;

	sql(s,
		"update public.volumes set host = '" ELSEWHERE "', _name_id = 'n',"
		" provider_location = 'there', cluster_name = null,"
		" availability_zone = 'not asked for' where id = '%s'",
		s->volume);
	ok(s, json_parse(text, strlen(text), &data, &s->err));
	ok(s, store_volume_refresh_object(s->db, s->volume, data, &s->err));
	AUTO(free) char *now = json_text(data);
	assert_string_equal(now, want);
	/* Of a volume that is gone nothing is known better. */
	ok(s, store_volume_refresh_object(s->db, OWNER, data, &s->err));
	AUTO(free) char *still = json_text(data);
	assert_string_equal(still, want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_request_is_known_by_volume_kind_and_id),
		STORE_TEST(a_services_version_is_in_its_row),
		STORE_TEST(an_object_is_brought_up_to_date),
	};

	return STORE_MAIN(tests);
}
