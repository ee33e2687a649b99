/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "scheduler/placement.h"
#include "tests/unit/reports.h"

/* ---- the choice ---- */

static struct service services[] = {
	{ .host = "h@small",
		.binary = VOLUME_BINARY,
		.availability_zone = "nova",
		.owner = "one",
		.up = true,
		.drover = true },
	{ .host = "h@big",
		.binary = VOLUME_BINARY,
		.availability_zone = "nova",
		.owner = "one",
		.up = true,
		.drover = true },
	{ .host = "k@far",
		.binary = VOLUME_BINARY,
		.availability_zone = "far",
		.owner = "two",
		.up = true,
		.drover = true },
	{ .host = "h@big", .binary = SCHEDULER_BINARY, .up = false },
};

struct fixture {
	struct pools pools;
	struct service services[4];
	struct policy policy;
	struct view view;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memcpy(f->services, services, sizeof(services));
	must_report(&f->pools, REPORT("h@small", T1, SMALL));
	must_report(&f->pools, REPORT("h@big", T1, BIG));
	must_report(&f->pools,
		REPORT("k@far", T1,
			"{\"pools\": [{\"pool_name\": \"a\", \"total_capacity_gb\": 30,"
			" \"free_capacity_gb\": 30}, {\"pool_name\": \"b\","
			" \"total_capacity_gb\": 40, \"free_capacity_gb\": 40}]}"));
	f->view = (struct view) {
		.pools = &f->pools,
		.services = f->services,
		.service_count = ARRAY_SIZE(f->services),
		.policy = &f->policy,
	};
	f->policy = (struct policy) {
		.filters = { [FILTER_ZONE] = true,
			[FILTER_CAPACITY] = true,
			[FILTER_CAPABILITIES] = true },
		.weighers = { [WEIGHER_CAPACITY] = true },
		.multipliers = { [WEIGHER_CAPACITY] = 1,
			[WEIGHER_ALLOCATED] = -1,
			[WEIGHER_NUMBER] = -1 },
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pools_clear(&f->pools);
	free(f);
	return 0;
}

static void assert_chosen(
	const struct fixture *f, const struct placement *request, const char *address)
{
	const struct service *service;
	struct pool *pool;
	struct error err;

	if (placement_choose(&f->view, request, &pool, &service, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(pool->address, address);
	assert_memory_equal(service->host, address, strcspn(address, "#"));
}

static void assert_no_choice(const struct fixture *f, const struct placement *request,
	enum error_code code, const char *text)
{
	const struct service *service;
	struct pool *pool;
	struct error err;

	assert_int_equal(
		placement_choose(&f->view, request, &pool, &service, &err), -1);
	assert_string_equal(err.text, text);
	assert_int_equal(err.code, code);
}

static void the_pool_with_most_room_is_chosen(void **state)
{
	struct fixture *f = *state;

	assert_chosen(f, &(struct placement) { .size_gib = 1 }, "h@big#big");
	f->policy.multipliers[WEIGHER_CAPACITY] = -1;
	assert_chosen(f, &(struct placement) { .size_gib = 1 }, "h@small#_pool0");
	assert_chosen(f, &(struct placement) { .size_gib = 11 }, "k@far#a");
}

static void an_unknown_size_is_the_last_choice(void **state)
{
	struct fixture *f = *state;

	must_report(&f->pools,
		REPORT("h@big", T2,
			"{\"total_capacity_gb\": \"infinite\","
			" \"free_capacity_gb\": \"infinite\"}"));
	assert_chosen(f, &(struct placement) { .size_gib = 1 }, "k@far#b");
	assert_chosen(f, &(struct placement) { .size_gib = 1000 }, "h@big#_pool0");
	f->policy.multipliers[WEIGHER_CAPACITY] = -1;
	assert_chosen(f, &(struct placement) { .size_gib = 1 }, "h@small#_pool0");
}

static void a_named_target_is_taken_or_nothing(void **state)
{
	struct fixture *f = *state;

	assert_chosen(f, &(struct placement) { .size_gib = 1, .target = "k@far#a" },
		"k@far#a");
	assert_chosen(
		f, &(struct placement) { .size_gib = 1, .target = "k@far" }, "k@far#b");
	assert_no_choice(f, &(struct placement) { .size_gib = 31, .target = "k@far#a" },
		ERR_INVALID_HOST,
		"target 'k@far#a' has 30.00 GiB free, 31 GiB are needed");
	assert_no_choice(f, &(struct placement) { .size_gib = 1, .target = "k@far#c" },
		ERR_INVALID_HOST,
		"target 'k@far#c' is unknown: the pools of 'k@far' are 'a', 'b'");
	assert_no_choice(f, &(struct placement) { .size_gib = 1, .target = "x@y#z" },
		ERR_INVALID_HOST,
		"target 'x@y#z' is unknown; 'drover service list' shows all");
}

static void the_own_pool_is_never_the_target(void **state)
{
	struct fixture *f = *state;
	struct placement request = {
		.size_gib = 1, .exclude = "k@far#b", .target = "k@far"
	};

	assert_no_choice(
		f, &request, ERR_INVALID_HOST, "the volume is already on 'k@far#b'");
	request.target = "k@far#a";
	assert_chosen(f, &request, "k@far#a");
	request.target = "k@far#b";
	assert_no_choice(
		f, &request, ERR_INVALID_HOST, "the volume is already on 'k@far#b'");
	/* A row without a pool means the whole backend. */
	request.exclude = "k@far";
	request.target = "k@far#a";
	assert_no_choice(
		f, &request, ERR_INVALID_HOST, "the volume is already on 'k@far'");
	request.target = NULL;
	assert_chosen(f, &request, "h@big#big");
}

static void a_service_that_is_not_usable_is_named(void **state)
{
	struct fixture *f = *state;
	struct placement request = { .size_gib = 50 };

	f->services[1].up = false;
	assert_no_choice(f, &request, ERR_NO_VALID_BACKEND,
		"no pool can take it: 'h@small#_pool0' has 10.00 GiB free, 50 GiB are "
		"needed; 'h@big#big' is down; 'k@far#a' has 30.00 GiB free, "
		"50 GiB are needed; 'k@far#b' has 40.00 GiB free, 50 GiB are needed");
	request.target = "h@big";
	assert_no_choice(f, &request, ERR_INVALID_HOST, "target 'h@big#big' is down");
	f->services[1].up = true;
	f->services[1].disabled = true;
	assert_no_choice(
		f, &request, ERR_INVALID_HOST, "target 'h@big#big' is disabled");
	f->services[1].disabled = false;
	f->services[1].frozen = true;
	assert_no_choice(f, &request, ERR_INVALID_HOST, "target 'h@big#big' is frozen");
	f->services[1].frozen = false;
	assert_chosen(f, &request, "h@big#big");
}

static void all_full_is_said_so(void **state)
{
	struct fixture *f = *state;

	assert_no_choice(f, &(struct placement) { .size_gib = 200 },
		ERR_NO_VALID_BACKEND,
		"no pool has 200 GiB free: 'h@small#_pool0' has 10.00 GiB free, 200 GiB "
		"are needed; 'h@big#big' has 99.50 GiB free, 200 GiB are needed; "
		"'k@far#a' has 30.00 GiB free, 200 GiB are needed; 'k@far#b' has 40.00 "
		"GiB free, 200 GiB are needed");
	pools_clear(&f->pools);
	assert_no_choice(f, &(struct placement) { .size_gib = 1 }, ERR_NO_VALID_BACKEND,
		"no backend has reported a pool yet");
	assert_no_choice(f, &(struct placement) { .size_gib = 1, .target = "h@big" },
		ERR_INVALID_HOST, "target 'h@big' has not reported its pools yet");
}

static void manager_zone_type_and_driver_are_filters(void **state)
{
	struct fixture *f = *state;
	const char *const zones[] = { "mars", "far", NULL };
	struct placement request = { .size_gib = 1, .managed = true };
	AUTO(json_object_put)
	struct json_object *big = parse("{\"volume_backend_name\": \"big\"}");

	/* All but the last are a Python manager's. */
	f->services[0].drover = f->services[1].drover = false;
	assert_chosen(f, &request, "k@far#b");
	f->services[0].drover = f->services[1].drover = true;
	request = (struct placement) { .size_gib = 1, .zones = zones };
	assert_chosen(f, &request, "k@far#b");
	request = (struct placement) { .size_gib = 1, .specs = big };
	assert_chosen(f, &request, "h@big#big");
	f->services[0].up = f->services[2].up = false;
	must_report(&f->pools,
		REPORT("h@big", T2,
			"{\"volume_backend_name\": \"big\", \"backend_state\": \"down\","
			" \"total_capacity_gb\": 9, \"free_capacity_gb\": 9}"));
	request.target = "h@big";
	assert_no_choice(f, &request, ERR_INVALID_HOST,
		"target 'h@big#big' is down, as its driver says");
}

static void migrations_on_their_way_reserve_their_size(void **state)
{
	const struct reservation reservations[] = {
		{ .target = "h@big#big", .size_gib = 50 },
		{ .target = "h@big#big", .size_gib = 20 },
		{ .target = "k@far#a", .size_gib = 5 },
	};
	struct fixture *f = *state;

	f->view.reservations = reservations;
	f->view.reservation_count = ARRAY_SIZE(reservations);
	assert_chosen(f, &(struct placement) { .size_gib = 1 }, "k@far#b");
	assert_no_choice(f, &(struct placement) { .size_gib = 30, .target = "h@big" },
		ERR_INVALID_HOST,
		"target 'h@big#big' has 29.50 GiB free, 30 GiB are needed");
	f->view.reservation_count = 0;
	assert_chosen(f, &(struct placement) { .size_gib = 30, .target = "h@big" },
		"h@big#big");
}

static void a_pool_of_another_type_is_named_with_what_it_lacks(void **state)
{
	AUTO(json_object_put)
	struct json_object *specs = parse("{\"volume_backend_name\": \"big\","
					  " \"total_capacity_gb\": \">= 200\"}");
	struct fixture *f = *state;

	assert_no_choice(f,
		&(struct placement) {
			.size_gib = 1, .target = "h@small", .specs = specs },
		ERR_INVALID_HOST,
		"target 'h@small#_pool0' does not meet 'volume_backend_name' = 'big' of"
		" the volume's type");
	assert_no_choice(f,
		&(struct placement) {
			.size_gib = 1, .target = "h@big", .own = true, .specs = specs },
		ERR_INVALID_HOST,
		"'h@big#big' does not meet 'total_capacity_gb' = '>= 200' of the"
		" volume's type");
	f->policy.filters[FILTER_CAPABILITIES] = false;
	assert_chosen(
		f, &(struct placement) { .size_gib = 1, .specs = specs }, "h@big#big");
}

static void where_a_volume_is_there_is_room_for_it(void **state)
{
	struct fixture *f = *state;
	struct placement request = { .size_gib = 50, .target = "k@far#a", .own = true };

	assert_no_choice(f, &request, ERR_INVALID_HOST,
		"'k@far#a' has 30.00 GiB free, 50 GiB are needed");
	request.exists_on = "k@far#a";
	assert_chosen(f, &request, "k@far#a");
	request.target = "k@far#b";
	assert_no_choice(f, &request, ERR_INVALID_HOST,
		"'k@far#b' has 40.00 GiB free, 50 GiB are needed");
	request.exists_on = "k@far"; /* from the time before pools */
	assert_chosen(f, &request, "k@far#b");
}

static void some_backends_extend_no_attached_volume(void **state)
{
	struct fixture *f = *state;
	struct placement request = {
		.size_gib = 1, .target = "h@big", .own = true, .attached_grows = true
	};

	assert_chosen(f, &request, "h@big#big");
	must_report(&f->pools,
		REPORT("h@big", T2,
			"{\"total_capacity_gb\": 9, \"free_capacity_gb\": 9,"
			" \"online_extend_support\": false}"));
	assert_no_choice(f, &request, ERR_INVALID_HOST,
		"'h@big#_pool0' cannot extend a volume that is attached");
	request.attached_grows = false;
	assert_chosen(f, &request, "h@big#_pool0");
}

static void where_it_failed_it_is_not_tried_again(void **state)
{
	const char *const tried[] = { "h@big#big", "k@far#b", NULL };
	struct fixture *f = *state;
	struct placement request = { .size_gib = 1, .attempted = tried };

	assert_chosen(f, &request, "h@big#big");
	f->policy.filters[FILTER_ATTEMPTED] = true;
	assert_chosen(f, &request, "k@far#a");
}

static void other_weighers_count_what_is_there(void **state)
{
	static const struct pool_load load[] = {
		{ .pool = "h@big#big", .size_gib = 3, .volumes = 3 },
		{ .pool = "k@far#b", .size_gib = 30, .volumes = 1 },
		{ .pool = "k@far#a", .size_gib = 4, .volumes = 2 },
		{ .pool = "h@small#_pool0", .size_gib = 5, .volumes = 4 },
	};
	struct fixture *f = *state;
	const struct placement request = { .size_gib = 1 };

	f->view.load = load;
	f->view.load_count = ARRAY_SIZE(load);
	f->policy.weighers[WEIGHER_CAPACITY] = false;
	f->policy.weighers[WEIGHER_NUMBER] = true;
	assert_chosen(f, &request, "k@far#b");
	f->policy.multipliers[WEIGHER_NUMBER] = 2;
	assert_chosen(f, &request, "h@small#_pool0");
	f->policy.weighers[WEIGHER_NUMBER] = false;
	f->policy.weighers[WEIGHER_ALLOCATED] = true;
	assert_chosen(f, &request, "h@big#big");
	/* None: the first that passes. */
	f->policy.weighers[WEIGHER_ALLOCATED] = false;
	assert_chosen(f, &request, "h@small#_pool0");
}

static void what_is_configured_is_known_or_named(void **state)
{
	char *filters[] = { (char[]) { "CapacityFilter" }, (char[]) { "JsonFilter" },
		NULL };
	char *weighers[] = { (char[]) { "VolumeNumberWeigher" }, NULL, NULL };
	struct settings settings = { .scheduler_default_filters = filters,
		.scheduler_default_weighers = weighers,
		.volume_number_multiplier = -3 };
	struct policy policy;
	struct error err;

	assert_int_equal(policy_read(&settings, &policy, &err), -1);
	assert_int_equal(err.code, ERR_CONFIG);
	assert_string_equal(err.text,
		"scheduler_default_filters: there is no 'JsonFilter', only: "
		"AvailabilityZoneFilter, CapacityFilter, CapabilitiesFilter, "
		"IgnoreAttemptedHostsFilter");
	filters[1] = NULL;
	assert_int_equal(policy_read(&settings, &policy, &err), 0);
	assert_true(policy.filters[FILTER_CAPACITY]);
	assert_false(policy.filters[FILTER_ZONE]);
	assert_true(policy.weighers[WEIGHER_NUMBER]);
	assert_false(policy.weighers[WEIGHER_CAPACITY]);
	assert_true(policy.multipliers[WEIGHER_NUMBER] == -3);
	weighers[1] = (char[]) { "GoodnessWeigher" };
	assert_int_equal(policy_read(&settings, &policy, &err), -1);
	assert_non_null(strstr(err.text, "'GoodnessWeigher', only: CapacityWeigher,"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_pool_with_most_room_is_chosen, setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_unknown_size_is_the_last_choice, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_named_target_is_taken_or_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_own_pool_is_never_the_target, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_service_that_is_not_usable_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(all_full_is_said_so, setup, teardown),
		cmocka_unit_test_setup_teardown(
			manager_zone_type_and_driver_are_filters, setup, teardown),
		cmocka_unit_test_setup_teardown(
			migrations_on_their_way_reserve_their_size, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_pool_of_another_type_is_named_with_what_it_lacks, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			where_a_volume_is_there_is_room_for_it, setup, teardown),
		cmocka_unit_test_setup_teardown(
			some_backends_extend_no_attached_volume, setup, teardown),
		cmocka_unit_test_setup_teardown(
			where_it_failed_it_is_not_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			other_weighers_count_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_is_configured_is_known_or_named, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
