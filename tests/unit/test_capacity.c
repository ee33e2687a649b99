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

#include "common/auto.h"
#include "scheduler/capacity.h"

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
	assert_true(capacity_room(&c, true) == -1);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
