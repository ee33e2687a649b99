/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/reports.h"

static void a_backend_without_pools_is_one_pool(void **state)
{
	AUTO(json_object_put) struct json_object *shown = NULL;
	struct pools pools = { 0 };
	struct pool *pool;

	must_report(&pools, REPORT("server1@fast", T1, BIG));
	must_report(&pools, REPORT("server1@slow", T1, SMALL));
	assert_non_null(pools_find(&pools, "server1@slow#_pool0"));
	pool = pools_find(&pools, "server1@fast#big");
	assert_non_null(pool);
	assert_true(pool->capacity.total.gib == 100.5);
	assert_true(pool->capacity.ratio == 20);
	shown = parse(pool->capabilities);
	assert_string_equal(json_object_to_json_string_ext(
				    json_object_object_get(shown, "storage_protocol"),
				    JSON_C_TO_STRING_PLAIN),
		"[\"NFS\",\"nfs\"]");
	assert_string_equal(
		json_object_get_string(json_object_object_get(shown, "timestamp")), T1);
	pools_clear(&pools);
}

static void pools_inherit_what_they_do_not_say(void **state)
{
	struct pools pools = { 0 };
	struct pool *pool;

	must_report(&pools,
		REPORT("h@lvm", T1,
			"{\"volume_backend_name\": \"lvm\", \"vendor_name\": \"v\","
			" \"pools\": [{\"pool_name\": \"a\", \"total_capacity_gb\": 1,"
			" \"free_capacity_gb\": \"unknown\", \"vendor_name\": \"w\","
			" \"max_over_subscription_ratio\": \"1.5\","
			" \"allocated_capacity_gb\": 3,"
			" \"thin_provisioning_support\": \"True\"},"
			" {\"pool_name\": \"b\","
			" \"max_over_subscription_ratio\": \"auto\"}]}"));
	pool = pools_find(&pools, "h@lvm#a");
	assert_non_null(pool);
	assert_non_null(strstr(pool->capabilities, "\"lvm\""));
	assert_non_null(strstr(pool->capabilities, "\"w\""));
	assert_null(strstr(pool->capabilities, "\"v\""));
	assert_int_equal(pool->capacity.free.kind, AMOUNT_UNKNOWN);
	assert_true(pool->capacity.ratio == 1.5);
	assert_true(pool->capacity.thin);
	assert_true(pool->capacity.provisioned == 3);
	assert_true(pools_find(&pools, "h@lvm#b")->capacity.ratio_auto);
	/* A pool that is not reported any more is gone. */
	must_report(
		&pools, REPORT("h@lvm", T2, "{\"pools\": [{\"pool_name\": \"b\"}]}"));
	assert_null(pools_find(&pools, "h@lvm#a"));
	assert_int_equal(pools.pool_count, 1);
	pools_clear(&pools);
}

static void an_older_report_is_ignored_for_a_while(void **state)
{
	struct pools pools = { 0 };

	assert_int_equal(report(&pools, REPORT("h@b", T2, SMALL), 1000, NULL), 1);
	pools_find(&pools, "h@b#_pool0")->capacity.placed = 5;
	assert_int_equal(report(&pools, REPORT("h@b", T1, BIG), 1001, NULL), 0);
	assert_true(pools_find(&pools, "h@b#_pool0")->capacity.placed == 5);
	/* Its clock was set back. */
	assert_int_equal(report(&pools, REPORT("h@b", T1, BIG), 1200, NULL), 1);
	assert_non_null(pools_find(&pools, "h@b#big"));
	/* The next report knows what was placed. */
	assert_int_equal(report(&pools, REPORT("h@b", T2, SMALL), 1201, NULL), 1);
	assert_true(pools_find(&pools, "h@b#_pool0")->capacity.placed == 0);
	pools_clear(&pools);
}

static void a_malformed_report_changes_nothing(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"service_name\": 5}",
		"{\"service_name\": \"volume\", \"host\": \"h@b\"}",
		REPORT("nohost", T1, SMALL),
		REPORT("h@b#pool", T1, SMALL),
		REPORT("h@../b", T1, SMALL),
		REPORT("h@b", "yesterday", SMALL),
		REPORT("h@b", "2026-11-21T21:25:32.5354401", SMALL),
		REPORT("h@b", T2, "[]"),
		REPORT("h@b", T2, "{\"pools\": {}}"),
		REPORT("h@b", T2, "{\"pools\": [5]}"),
		REPORT("h@b", T2, "{\"pools\": [{}]}"),
		REPORT("h@b", T2, "{\"pools\": [{\"pool_name\": \"a b\"}]}"),
		REPORT("h@b", T2, "{\"pools\": [{\"pool_name\": \"a#b\"}]}"),
		REPORT("h@b", T2, "{\"pools\": [{\"pool_name\": \"\"}]}"),
		REPORT("h@b", T2, "{\"pools\": [{\"pool_name\": \"a\\u0000\"}]}"),
		REPORT("h@b", T2,
			"{\"pools\": [{\"pool_name\": \"a\"}, {\"pool_name\": \"a\"}]}"),
		REPORT("h@b", T2, "{\"total_capacity_gb\": \"much\"}"),
		REPORT("h@b", T2, "{\"total_capacity_gb\": []}"),
		REPORT("h@b", T2, "{\"free_capacity_gb\": 1e300}"),
		REPORT("h@b", T2, "{\"provisioned_capacity_gb\": -1}"),
		REPORT("h@b", T2, "{\"reserved_percentage\": 101}"),
		REPORT("h@b", T2, "{\"thin_provisioning_support\": \"maybe\"}"),
		REPORT("h@b", T2, "{\"max_over_subscription_ratio\": \"lots\"}"),
		REPORT("h@b", T2, "{\"max_over_subscription_ratio\": -2}"),
		REPORT("h@b", T2, "{\"backend_state\": 1}"),
	};
	struct pools pools = { 0 };
	struct error err;

	must_report(&pools, REPORT("h@b", T1, SMALL));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		error_clear(&err);
		if (report(&pools, bad[i], 2, &err) != -1 ||
			err.code != ERR_INVALID_INPUT)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(pools.count, 1);
		assert_int_equal(pools.pool_count, 1);
		assert_string_equal(pools.backends[0].timestamp, T1);
	}
	/* Somebody else's report is no mistake. */
	assert_int_equal(report(&pools, "{\"service_name\": \"backup\"}", 2, &err), 0);
	pools_clear(&pools);
}

static void a_report_may_not_be_endless(void **state)
{
	AUTO(json_object_put) struct json_object *args = parse(REPORT("h@b", T1, "{}"));
	AUTO(free) char *text = malloc(CAPABILITIES_MAX + 1);
	struct json_object *capabilities = json_object_object_get(args, "capabilities");
	struct json_object *list = json_object_new_array();
	struct pools pools = { 0 };
	struct error err;

	memset(text, 'x', CAPABILITIES_MAX);
	text[CAPABILITIES_MAX] = '\0';
	json_add_string(capabilities, "location_info", text);
	assert_int_equal(pools_report(&pools, args, 20, 1, &err), -1);
	assert_non_null(strstr(err.text, "more than 65536 bytes"));
	json_object_object_del(capabilities, "location_info");
	json_add(capabilities, "pools", list);
	for (int i = 0; i <= POOLS_PER_BACKEND_MAX; i++) {
		struct json_object *pool = json_object_new_object();
		char name[16];

		snprintf(name, sizeof(name), "p%d", i);
		json_add_string(pool, "pool_name", name);
		json_object_array_add(list, pool);
	}
	assert_int_equal(pools_report(&pools, args, 20, 1, &err), -1);
	assert_non_null(strstr(err.text, "more than 1000 pools"));
	json_object_array_del_idx(list, 0, 1);
	assert_int_equal(pools_report(&pools, args, 20, 1, &err), 1);
	assert_int_equal(pools.pool_count, POOLS_PER_BACKEND_MAX);
	pools_clear(&pools);
}

static void a_missed_backend_is_remembered_until_it_reports(void **state)
{
	struct pools pools = { 0 };

	assert_true(pools_missed(&pools, "h@b", 100) == 100);
	assert_true(pools_missed(&pools, "h@b", 107) == 100);
	assert_null(pools_find(&pools, "h@b#_pool0"));
	must_report(&pools, REPORT("h@b", T1, SMALL));
	must_report(&pools, REPORT("h@c", T1, SMALL));
	assert_true(pools_missed(&pools, "h@b", 200) == 200);
	pools_forget(&pools, "h@b");
	assert_null(pools_backend(&pools, "h@b"));
	assert_non_null(pools_find(&pools, "h@c#_pool0"));
	assert_int_equal(pools.pool_count, 1);
	pools_clear(&pools);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backend_without_pools_is_one_pool),
		cmocka_unit_test(pools_inherit_what_they_do_not_say),
		cmocka_unit_test(an_older_report_is_ignored_for_a_while),
		cmocka_unit_test(a_malformed_report_changes_nothing),
		cmocka_unit_test(a_report_may_not_be_endless),
		cmocka_unit_test(a_missed_backend_is_remembered_until_it_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
