/* SPDX-License-Identifier: Apache-2.0 */
/* Services and the leases of managers. */
#include "tests/integration/store_fixture.h"

static void register_scheduler(struct store *s, char uuid[UUID_TEXT_SIZE])
{
	ok(s,
		store_service_register(s->db, "box", SCHEDULER_BINARY, "nova",
			SCHEDULER_RPC_VERSION, uuid, &s->err));
}

static void a_service_registers_once(void **state)
{
	struct store *s = *state;
	char first[UUID_TEXT_SIZE], second[UUID_TEXT_SIZE];

	register_scheduler(s, first);
	assert_true(uuid_is(first));
	register_scheduler(s, second);
	assert_string_equal(first, second);
	assert_sql(s, "cinder-scheduler|nova|3.12|1.39|1|f|f|f|not-capable",
		"select concat_ws('|', topic, availability_zone, rpc_current_version,"
		" object_current_version, report_count, disabled, deleted, frozen,"
		" replication_status) from public.services where host = 'box'");
	/* Another binary of the same host is another service. */
	ok(s,
		store_service_register(s->db, "box", VOLUME_BINARY, "nova",
			VOLUME_RPC_VERSION, second, &s->err));
	assert_string_not_equal(first, second);
	assert_sql(s, "disabled",
		"select replication_status from public.services where host = 'box'"
		" and topic = 'cinder-volume'");
	/* A deleted row is not taken up again. */
	sql(s, "update public.services set deleted = true where host = 'box'");
	register_scheduler(s, second);
	assert_string_not_equal(first, second);
}

static void what_an_administrator_disabled_stays_disabled(void **state)
{
	struct store *s = *state;
	char uuid[UUID_TEXT_SIZE];
	struct service service;

	sql(s,
		"update public.services set disabled = true, frozen = true,"
		" disabled_reason = 'new disks' where host = '" SOURCE_BACKEND "'");
	ok(s,
		store_service_register(s->db, SOURCE_BACKEND, VOLUME_BINARY, "zone",
			VOLUME_RPC_VERSION, uuid, &s->err));
	assert_int_equal(
		store_service_get(s->db, SOURCE_BACKEND, DOWN_TIME, &service, &s->err),
		1);
	assert_true(service.disabled);
	assert_true(service.frozen);
	assert_string_equal(service.disabled_reason, "new disks");
	assert_string_equal(service.availability_zone, "zone");
	assert_string_equal(service.uuid, uuid);
	assert_string_equal(service.binary, VOLUME_BINARY);
	assert_int_equal(strlen(service.updated_at), 26);
}

/* As captured: the API tier writes frozen, the service that it is disabled. */
static void a_frozen_service_is_disabled(void **state)
{
	static const char row[] =
		"select concat_ws('|', disabled, disabled_reason, updated_at < now() -"
		" interval '1 day', modified_at > now() - interval '1 h') from"
		" public.services where host = '" SOURCE_BACKEND "'";
	struct store *s = *state;

	sql(s,
		"update public.services set updated_at = now() - interval '2 days',"
		" replication_status = 'failing-over'");
	assert_int_equal(store_service_freeze(s->db, SOURCE_BACKEND, true, &s->err), 1);
	assert_sql(s, "t|frozen|t|t", row);
	assert_int_equal(
		store_service_freeze(s->db, SOURCE_BACKEND, false, &s->err), 1);
	assert_sql(s, "f||t|t", row);
	assert_int_equal(store_service_freeze(s->db, "no@where", true, &s->err), 0);
	assert_int_equal(
		store_service_not_failed_over(s->db, SOURCE_BACKEND, &s->err), 1);
	assert_sql(s, "disabled",
		"select replication_status from public.services where host ="
		" '" SOURCE_BACKEND "'");
	assert_int_equal(
		store_service_not_failed_over(s->db, SOURCE_BACKEND, &s->err), 0);
}

static bool is_up(struct store *s, double down_time)
{
	struct service service;

	assert_int_equal(
		store_service_get(s->db, SOURCE_BACKEND, down_time, &service, &s->err),
		1);
	return service.up;
}

static void set_age(struct store *s, const char *interval)
{
	sql(s,
		"update public.services set updated_at = localtimestamp -"
		" interval '%s' where host = '" SOURCE_BACKEND "'",
		interval);
}

static void the_databases_clock_tells_who_is_up(void **state)
{
	struct store *s = *state;

	assert_true(is_up(s, DOWN_TIME));
	set_age(s, "59 s");
	assert_true(is_up(s, DOWN_TIME));
	assert_false(is_up(s, 58.5));
	set_age(s, "61 s");
	assert_false(is_up(s, DOWN_TIME));
	/* A clock that runs ahead is as wrong as one that runs behind. */
	set_age(s, "-59 s");
	assert_true(is_up(s, DOWN_TIME));
	set_age(s, "-61 s");
	assert_false(is_up(s, DOWN_TIME));
	/* Before the first heartbeat its creation counts. */
	sql(s, "update public.services set updated_at = null");
	assert_true(is_up(s, DOWN_TIME));
	sql(s, "update public.services set created_at = null");
	assert_false(is_up(s, DOWN_TIME));
}

static void a_heartbeat_makes_it_up(void **state)
{
	struct store *s = *state;

	set_age(s, "1 h");
	assert_int_equal(
		store_service_beat(s->db, SOURCE_BACKEND, VOLUME_BINARY, &s->err), 1);
	assert_true(is_up(s, DOWN_TIME));
	assert_sql(s, "1",
		"select report_count from public.services"
		" where host = '" SOURCE_BACKEND "'");
	/* The row is gone: register again. */
	assert_int_equal(
		store_service_beat(s->db, SOURCE_BACKEND, SCHEDULER_BINARY, &s->err),
		0);
	sql(s, "update public.services set deleted = true");
	assert_int_equal(
		store_service_beat(s->db, SOURCE_BACKEND, VOLUME_BINARY, &s->err), 0);
}

static void a_stopped_service_is_down_at_once(void **state)
{
	struct store *s = *state;
	char uuid[UUID_TEXT_SIZE];

	assert_int_equal(store_service_down(s->db, SOURCE_BACKEND, VOLUME_BINARY,
				 DOWN_TIME, &s->err),
		0);
	assert_false(is_up(s, DOWN_TIME));
	/* Cinder looks at created_at too. */
	assert_sql(s, "t",
		"select created_at < localtimestamp - interval '60 s'"
		" from public.services where host = '" SOURCE_BACKEND "'");
	ok(s,
		store_service_register(s->db, SOURCE_BACKEND, VOLUME_BINARY, "nova",
			VOLUME_RPC_VERSION, uuid, &s->err));
	assert_true(is_up(s, DOWN_TIME));
}

static void all_services_are_listed(void **state)
{
	struct store *s = *state;
	AUTO(free) struct service *list = NULL;
	char uuid[UUID_TEXT_SIZE];

	register_scheduler(s, uuid);
	sql(s,
		"update public.services set deleted = true"
		" where host = '" ELSEWHERE_BACKEND "'");
	sql(s,
		"update drover.manager set expires_at = now() - interval '1 s'"
		" where host = '" TARGET_BACKEND "'");
	set_age(s, "1 h");
	assert_int_equal(store_service_list(s->db, DOWN_TIME, &list, &s->err), 3);
	assert_string_equal(list[0].host, "box");
	assert_true(list[0].up);
	assert_false(list[0].drover);
	assert_string_equal(list[1].host, SOURCE_BACKEND);
	assert_false(list[1].up);
	assert_true(list[1].drover);
	assert_string_equal(list[1].owner, OWNER);
	assert_string_equal(list[2].host, TARGET_BACKEND);
	assert_true(list[2].up);
	assert_false(list[2].drover);
	assert_string_equal(list[2].owner, "");
}

static void one_service_is_found_by_its_backend(void **state)
{
	struct store *s = *state;
	struct service service;
	char uuid[UUID_TEXT_SIZE];

	register_scheduler(s, uuid);
	assert_int_equal(
		store_service_get(s->db, "box", DOWN_TIME, &service, &s->err), 0);
	assert_int_equal(
		store_service_get(s->db, "one@nowhere", DOWN_TIME, &service, &s->err),
		0);
	/* An old row of the same name does not hide the living one. */
	sql(s,
		"insert into public.services (id, host, \"binary\", topic,"
		" report_count, created_at, updated_at, deleted, uuid) values"
		" (-1, '" SOURCE_BACKEND "', 'cinder-volume', 'cinder-volume', 0,"
		" '2000-01-01', '2000-01-01', false, '" OTHER_OWNER "')");
	assert_true(is_up(s, DOWN_TIME));
}

/* ---- leases ---- */

static int take(struct store *s, const char *owner, double seconds, char holder[256])
{
	return ok(s,
		store_lease_take(s->db, SOURCE_BACKEND, owner, 4711, seconds, holder,
			256, &s->err));
}

static void release_all(struct store *s)
{
	sql(s, "delete from drover.manager");
}

static void a_lease_is_taken_renewed_and_kept_from_others(void **state)
{
	struct store *s = *state;
	char holder[256] = "";

	release_all(s);
	assert_int_equal(take(s, OWNER, 30, holder), 1);
	sql(s,
		"update drover.manager set started_at = '2024-05-01 12:00:00+00',"
		" expires_at = now() + interval '1 s'");
	assert_int_equal(take(s, OWNER, 30, holder), 1);
	assert_sql(s, "t|t",
		"select concat_ws('|', started_at = '2024-05-01"
		" 12:00:00+00', expires_at > now() + interval '20 s')"
		" from drover.manager");
	assert_string_equal(holder, "");
	assert_int_equal(take(s, OTHER_OWNER, 30, holder), 0);
	assert_string_equal(holder, "process 4711, since 2024-05-01 12:00:00");
	assert_sql(s, OWNER, "select owner from drover.manager");
}

static void a_lease_that_ran_out_is_anybodys(void **state)
{
	struct store *s = *state;
	char holder[256] = "";

	release_all(s);
	assert_int_equal(take(s, OWNER, 30, holder), 1);
	sql(s,
		"update drover.manager set expires_at = now() - interval '1 ms',"
		" started_at = '2024-05-01 12:00:00+00'");
	assert_int_equal(take(s, OTHER_OWNER, 30, holder), 1);
	assert_sql(s, OTHER_OWNER "|t",
		"select concat_ws('|', owner, started_at >"
		" now() - interval '1 min')"
		" from drover.manager");
	assert_int_equal(take(s, OWNER, 30, holder), 0);
}

static void a_lease_is_released_by_its_owner_only(void **state)
{
	struct store *s = *state;
	char holder[256];

	release_all(s);
	assert_int_equal(take(s, OWNER, 30, holder), 1);
	ok(s, store_lease_release(s->db, SOURCE_BACKEND, OTHER_OWNER, &s->err));
	assert_int_equal(take(s, OTHER_OWNER, 30, holder), 0);
	ok(s, store_lease_release(s->db, SOURCE_BACKEND, OWNER, &s->err));
	assert_int_equal(take(s, OTHER_OWNER, 30, holder), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_service_registers_once),
		STORE_TEST(what_an_administrator_disabled_stays_disabled),
		STORE_TEST(a_frozen_service_is_disabled),
		STORE_TEST(the_databases_clock_tells_who_is_up),
		STORE_TEST(a_heartbeat_makes_it_up),
		STORE_TEST(a_stopped_service_is_down_at_once),
		STORE_TEST(all_services_are_listed),
		STORE_TEST(one_service_is_found_by_its_backend),
		STORE_TEST(a_lease_is_taken_renewed_and_kept_from_others),
		STORE_TEST(a_lease_that_ran_out_is_anybodys),
		STORE_TEST(a_lease_is_released_by_its_owner_only),
	};

	return STORE_MAIN(tests);
}
