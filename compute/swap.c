/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/swap.h"

#include <string.h>

static const struct {
	const char *name, *state;
	bool is_over, is_told;
} steps[] = {
	[SWAP_ORDERED] = { "ordered", "copying", .is_over = false },
	[SWAP_COPYING] = { "copying", "copying", .is_over = false },
	[SWAP_BLOCKING] = { "blocking", "ready", .is_over = false },
	[SWAP_PIVOTING] = { "pivoting", "pivoting", .is_over = false },
	[SWAP_PIVOTED] = { "pivoted", "pivoting", .is_over = false },
	[SWAP_FAILING] = { "failing", "copying", .is_over = false },
	[SWAP_CANCELLING] = { "cancelling", "copying", .is_over = false },
	[SWAP_MOVED] = { "moved", "moved", true, true },
	[SWAP_FAILED] = { "failed", "failed", true, true },
	[SWAP_CANCELLED] = { "cancelled", "cancelled", true, false },
	[SWAP_HELD] = { "held", "held", .is_over = false },
};

const char *swap_step_name(enum swap_step step)
{
	return steps[step].name;
}

int swap_step_from_name(const char *name, enum swap_step *out, struct error *err)
{
	for (int i = 0; i < SWAP_STEP_COUNT; i++)
		if (strcmp(steps[i].name, name) == 0) {
			*out = (enum swap_step)i;
			return 0;
		}
	return error_set(err, ERR_INVALID_INPUT, "'%.32s' is no step of a swap", name);
}

const char *swap_state(const struct swap *swap)
{
	return steps[swap->step].state;
}

bool swap_is_over(const struct swap *swap)
{
	return steps[swap->step].is_over;
}

bool swap_is_due_answer(const struct swap *swap)
{
	return steps[swap->step].is_told && !swap->answered;
}
