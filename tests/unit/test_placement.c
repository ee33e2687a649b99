/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "scheduler/placement.h"

/* ---- a second, slow and obvious implementation of the arithmetic ----
 *
 * Sizes are whole numbers of 1/1024 GiB and ratios of 1/16, so that all is exact in
 * integers: no rounding but the one that is asked for. */

typedef __int128 wide;
#define UNITS 1024
#define RATIO_UNITS 16

struct exact_pool {
	int64_t total, free, provisioned, taken; /* 1/1024 GiB */
	int64_t reserved_percentage;
	int64_t ratio; /* 1/16 */
	bool thin;
};

/* Hundredths of GiB of amount / (UNITS * RATIO_UNITS), half to even. */
static wide hundredths(wide amount)
{
	wide unit = UNITS * RATIO_UNITS;
	wide scaled = amount * 100;
	wide whole = scaled / unit, rest = scaled % unit;

	if (rest < 0) {
		rest += unit;
		whole--;
	}
	if (2 * rest > unit || (2 * rest == unit && whole % 2 != 0))
		whole++;
	return whole;
}

/* In hundredths of GiB. */
static wide exact_virtual_free(const struct exact_pool *p, bool thin)
{
	/* floor(total GiB * percentage / 100), in GiB; total is not negative. */
	wide reserved = (wide)p->total * p->reserved_percentage / (100 * UNITS);
	wide available = p->total - reserved * UNITS;
	wide provisioned = p->provisioned + p->taken;

	if (thin && p->thin)
		return hundredths(available * p->ratio - provisioned * RATIO_UNITS);
	wide by_free = p->free - p->taken, by_size = available - provisioned;

	return hundredths((by_free < by_size ? by_free : by_size) * RATIO_UNITS);
}

static bool exact_fits(const struct exact_pool *p, int64_t size_gib, bool thin)
{
	if (size_gib == 0)
		return true;
	if (p->total <= 0)
		return false;
	if (thin && p->thin && (p->ratio < RATIO_UNITS || p->free <= 0))
		return false;
	return exact_virtual_free(p, thin) >= (wide)size_gib * 100;
}

static struct capacity as_capacity(const struct exact_pool *p)
{
	return (struct capacity) {
		.total = { AMOUNT_NUMBER, (double)p->total / UNITS },
		.free = { AMOUNT_NUMBER, (double)p->free / UNITS },
		.provisioned = (double)p->provisioned / UNITS,
		.reserved_percentage = (double)p->reserved_percentage,
		.ratio = (double)p->ratio / RATIO_UNITS,
		.thin = p->thin,
		.promised = (double)p->taken / UNITS,
	};
}

static uint64_t seed;

static int64_t below(int64_t limit)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (int64_t)((seed >> 33) % (uint64_t)limit);
}

static struct exact_pool random_pool(void)
{
	static const int64_t scales[] = { 1, 3, 64, UNITS, 100 * UNITS };
	int64_t scale = scales[below(5)];
	int64_t total = below(1000) * scale;

	return (struct exact_pool) {
		.total = total,
		.free = below(8) ? below(total + 1) : 0,
		.provisioned = below(3) ? below(2 * total + 1) : 0,
		.taken = below(2) ? below(total / 2 + 1) : 0,
		.reserved_percentage = below(4) ? below(101) : 0,
		.ratio = below(3) ? RATIO_UNITS + below(400) : below(2 * RATIO_UNITS),
		.thin = below(2),
	};
}

static void random_pools_agree_with_exact_arithmetic(void **state)
{
	unsigned fitting = 0;

	seed = 20130417;
	for (unsigned i = 0; i < 40000; i++) {
		struct exact_pool p = random_pool();
		struct capacity c = as_capacity(&p);
		bool thin = below(2);
		wide free = exact_virtual_free(&p, thin);
		char why[256];

		assert_true(
			capacity_factors(&c, thin).virtual_free == (double)free / 100);
		/* Just at the limit, around it, and anything. */
		int64_t at = (int64_t)(free / 100);
		int64_t sizes[] = { at > 0 ? at : 1, at >= 0 ? at + 1 : 1,
			below(100000), 0 };

		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			bool fits = capacity_fits(&c, sizes[j], thin, why, sizeof(why));

			assert_int_equal(fits, exact_fits(&p, sizes[j], thin));
			fitting += fits;
		}
	}
	/* The generator makes both kinds. */
	assert_in_range(fitting, 40000, 120000);
}

/* ---- single facts about the arithmetic ---- */

static const struct capacity plain = {
	.total = { AMOUNT_NUMBER, 100 },
	.free = { AMOUNT_NUMBER, 40 },
	.provisioned = 60,
	.ratio = 20,
};

static void assert_fits(const struct capacity *c, int64_t size, bool thin)
{
	char why[256] = "";

	if (!capacity_fits(c, size, thin, why, sizeof(why)))
		fail_msg("%lld GiB do not fit: %s", (long long)size, why);
}

static void assert_refused(
	const struct capacity *c, int64_t size, bool thin, const char *reason)
{
	char why[256] = "";

	assert_false(capacity_fits(c, size, thin, why, sizeof(why)));
	assert_string_equal(why, reason);
}

static void a_thick_pool_gives_what_is_free(void **state)
{
	assert_fits(&plain, 40, true);
	assert_refused(&plain, 41, true, "has 40.00 GiB free, 41 GiB are needed");
}

static void the_reserved_part_is_rounded_down_to_whole_gib(void **state)
{
	struct capacity c = plain;

	c.total.gib = 10.5;
	c.free.gib = 10.5;
	c.provisioned = 0;
	c.reserved_percentage = 20; /* 2.1 */
	assert_true(capacity_factors(&c, false).virtual_free == 8.5);
}

static void a_thin_pool_is_provisioned_up_to_its_ratio_once(void **state)
{
	struct capacity c = plain;

	c.thin = true;
	c.ratio = 2;
	assert_fits(&c, 140, true);
	assert_refused(&c, 141, true,
		"has 140.00 GiB free to be provisioned, 141 GiB are needed");
	/* A thick volume on it takes real space. */
	assert_refused(&c, 41, false, "has 40.00 GiB free, 41 GiB are needed");
}

static void a_full_disk_takes_no_thin_volume(void **state)
{
	struct capacity c = plain;

	c.thin = true;
	c.free.gib = 0;
	assert_refused(&c, 1, true, "has no free space left");
}

static void all_reserved_is_refused_without_dividing_by_zero(void **state)
{
	struct capacity c = plain;

	c.thin = true;
	c.provisioned = 0;
	c.reserved_percentage = 100;
	assert_refused(
		&c, 1, true, "has 0.00 GiB free to be provisioned, 1 GiB are needed");
}

static void the_automatic_ratio_follows_what_volumes_take(void **state)
{
	struct capacity c = plain;

	c.thin = true;
	c.ratio_auto = true;
	c.provisioned = 0;
	assert_true(capacity_ratio(&c) == 20);
	c.provisioned = 122;
	assert_true(capacity_ratio(&c) == 3); /* 1 + 122 / (100 - 40 + 1) */
	c.thin = false;
	assert_true(capacity_ratio(&c) == 1);
}

static void pools_without_numbers(void **state)
{
	struct capacity c = plain;

	c.free.kind = AMOUNT_INFINITE;
	assert_fits(&c, 1000000, true);
	assert_true(capacity_weight(&c, true) == -1);
	c.free.kind = AMOUNT_NONE;
	assert_refused(&c, 1, true, "does not report its free space");
	c = plain;
	c.total.kind = AMOUNT_UNKNOWN;
	assert_fits(&c, 1000000, true);
	c.reserved_percentage = 10;
	assert_refused(&c, 1, true, "reserves a part of a total that it does not know");
	c = plain;
	c.total.gib = 0;
	assert_refused(&c, 1, true, "has no space at all");
	assert_fits(&c, 0, true);
}

static void what_is_on_its_way_counts_as_taken(void **state)
{
	struct capacity c = plain;

	c.placed = 10;
	c.promised = 20;
	assert_fits(&c, 10, true);
	assert_refused(&c, 11, true, "has 10.00 GiB free, 11 GiB are needed");
}

/* ---- reports ---- */

static struct json_object *parse(const char *text)
{
	struct json_object *o = NULL;
	struct error err;

	if (json_parse(text, strlen(text), &o, &err) < 0)
		fail_msg("%s", err.text);
	return o;
}

static int report(struct pools *pools, const char *text, double now, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = parse(text);

	return pools_report(pools, args, 20, now, err);
}

#define REPORT(host, timestamp, capabilities) \
	"{\"service_name\": \"volume\", \"host\": \"" host \
	"\", \"timestamp\": \"" timestamp \
	"\", \"cluster_name\": null, \"capabilities\": " capabilities "}"
#define T1 "2026-11-21T21:25:32.535440"
#define T2 "2026-11-21T21:25:33"
#define SMALL "{\"total_capacity_gb\": 10, \"free_capacity_gb\": 10}"
#define BIG \
	"{\"volume_backend_name\": \"big\", \"total_capacity_gb\": 100.5," \
	" \"free_capacity_gb\": 99.5, \"storage_protocol\": \"nfs\"}"

static void must_report(struct pools *pools, const char *text)
{
	struct error err;

	if (report(pools, text, 1, &err) != 1)
		fail_msg("%s", err.text);
}

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
		.capacity_weight_multiplier = 1,
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
	f->view.capacity_weight_multiplier = -1;
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
	f->view.capacity_weight_multiplier = -1;
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

	/* All but the last are a Python manager's. */
	f->services[0].drover = f->services[1].drover = false;
	assert_chosen(f, &request, "k@far#b");
	f->services[0].drover = f->services[1].drover = true;
	request = (struct placement) { .size_gib = 1, .zones = zones };
	assert_chosen(f, &request, "k@far#b");
	request = (struct placement) { .size_gib = 1, .backend_name = "big" };
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_pools_agree_with_exact_arithmetic),
		cmocka_unit_test(a_thick_pool_gives_what_is_free),
		cmocka_unit_test(the_reserved_part_is_rounded_down_to_whole_gib),
		cmocka_unit_test(a_thin_pool_is_provisioned_up_to_its_ratio_once),
		cmocka_unit_test(a_full_disk_takes_no_thin_volume),
		cmocka_unit_test(all_reserved_is_refused_without_dividing_by_zero),
		cmocka_unit_test(the_automatic_ratio_follows_what_volumes_take),
		cmocka_unit_test(pools_without_numbers),
		cmocka_unit_test(what_is_on_its_way_counts_as_taken),
		cmocka_unit_test(a_backend_without_pools_is_one_pool),
		cmocka_unit_test(pools_inherit_what_they_do_not_say),
		cmocka_unit_test(an_older_report_is_ignored_for_a_while),
		cmocka_unit_test(a_malformed_report_changes_nothing),
		cmocka_unit_test(a_report_may_not_be_endless),
		cmocka_unit_test(a_missed_backend_is_remembered_until_it_reports),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
