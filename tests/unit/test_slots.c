/* SPDX-License-Identifier: Apache-2.0 */
/* How much work runs at once, and of whom. */
#include "volume-manager/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT 8

/* Starts as many as are allowed. */
static unsigned start(
	enum slot_kind kind, struct slot_use *all, struct slot_use *own, bool alone)
{
	unsigned started = 0;

	while (started < 1000 && slots_allow(kind, LIMIT, all, own, alone)) {
		all->count[kind]++;
		own->count[kind]++;
		started++;
	}
	return started;
}

static void turn_long(struct slot_use *use)
{
	use->count[SLOT_LONG] += use->count[SLOT_FILL];
	use->count[SLOT_FILL] = 0;
}

static void one_backend_alone_has_all_slots(void **state)
{
	struct slot_use all = { { 0 } }, own = { { 0 } };

	(void)state;
	assert_int_equal(start(SLOT_LONG, &all, &own, true), LIMIT);
	assert_int_equal(start(SLOT_SHORT, &all, &own, true), 4);
}

static void others_find_slots_beside_a_backend_that_hangs(void **state)
{
	struct slot_use all = { { 0 } }, hung = { { 0 } }, other = { { 0 } };

	(void)state;
	assert_int_equal(start(SLOT_LONG, &all, &hung, false), 6);
	assert_int_equal(start(SLOT_SHORT, &all, &hung, false), 4);
	assert_int_equal(start(SLOT_LONG, &all, &other, false), 2);
	assert_int_equal(start(SLOT_SHORT, &all, &other, false), 4);
}

static void fills_that_copy_leave_room_for_short_work(void **state)
{
	struct slot_use all = { { 0 } }, own = { { 0 } };
	unsigned fills = 0;

	(void)state;
	for (int i = 0; i < 10; i++) {
		fills += start(SLOT_FILL, &all, &own, true);
		turn_long(&all);
		turn_long(&own);
	}
	assert_int_equal(fills, LIMIT + 4);
	assert_int_equal(start(SLOT_LONG, &all, &own, true), 0);
	assert_int_equal(start(SLOT_SHORT, &all, &own, true), 4);
}

static void one_at_a_time_is_possible(void **state)
{
	struct slot_use all = { { 0 } }, own = { { 0 } };

	(void)state;
	assert_true(slots_allow(SLOT_LONG, 1, &all, &own, false));
	all.count[SLOT_LONG] = own.count[SLOT_LONG] = 1;
	assert_false(slots_allow(SLOT_LONG, 1, &all, &own, false));
	assert_true(slots_allow(SLOT_FILL, 1, &all, &own, false));
}

static void operations_are_of_a_kind(void **state)
{
	static const struct {
		const char *kind;
		bool cancel, fills, copies;
		enum slot_kind slot;
	} cases[] = {
		{ "migrate_volume", false, false, false, SLOT_LONG },
		{ "migrate_volume", true, false, false, SLOT_SHORT },
		{ "create_volume", false, false, false, SLOT_SHORT },
		{ "create_volume", false, true, false, SLOT_FILL },
		{ "create_snapshot", false, true, true, SLOT_LONG },
		{ "extend_volume", false, false, false, SLOT_SHORT },
	};
	struct operation op;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&op, 0, sizeof(op));
		text_copy(op.kind, sizeof(op.kind), cases[i].kind);
		op.cancel = cases[i].cancel;
		op.fills = cases[i].fills;
		op.copies = cases[i].copies;
		assert_int_equal(slot_of(&op), cases[i].slot);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_backend_alone_has_all_slots),
		cmocka_unit_test(others_find_slots_beside_a_backend_that_hangs),
		cmocka_unit_test(fills_that_copy_leave_room_for_short_work),
		cmocka_unit_test(one_at_a_time_is_possible),
		cmocka_unit_test(operations_are_of_a_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
