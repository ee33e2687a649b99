/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/slots.h"

#include <string.h>

/* So much short work a backend may have beyond max_operations; and so many fills, which may
 * turn out to be long, all of them. */
#define SHORT_OPERATIONS 4
/* This part of the slots for long work is not one backend's. */
#define KEPT_FOR_OTHERS 4

enum slot_kind slot_of(const struct operation *op)
{
	if (op->copies)
		return SLOT_LONG;
	if (op->fills)
		return SLOT_FILL;
	return strcmp(op->kind, "migrate_volume") == 0 && !op->cancel ? SLOT_LONG
								      : SLOT_SHORT;
}

static unsigned sum(const struct slot_use *use, enum slot_kind from)
{
	unsigned total = 0;

	for (unsigned i = from; i < SLOT_KINDS; i++)
		total += use->count[i];
	return total;
}

static bool allow_long(enum slot_kind from, unsigned limit, const struct slot_use *all,
	const struct slot_use *own, bool alone)
{
	unsigned extra = from == SLOT_FILL ? SHORT_OPERATIONS : 0;
	unsigned kept = alone ? 0 : limit / KEPT_FOR_OTHERS;

	/* However much the others have: one more process. */
	if (from == SLOT_LONG && !alone && sum(own, SLOT_LONG) == 0)
		return true;
	return sum(all, from) < limit + extra && sum(own, from) < limit - kept + extra;
}

static bool allow_short(
	unsigned limit, const struct slot_use *all, const struct slot_use *own)
{
	return sum(all, SLOT_SHORT) < limit ||
		own->count[SLOT_SHORT] + own->count[SLOT_FILL] < SHORT_OPERATIONS;
}

bool slots_allow(enum slot_kind kind, unsigned limit, const struct slot_use *all,
	const struct slot_use *own, bool alone)
{
	if (kind == SLOT_LONG)
		return allow_long(SLOT_LONG, limit, all, own, alone);
	if (kind == SLOT_FILL && !allow_long(SLOT_FILL, limit, all, own, alone))
		return false;
	return allow_short(limit, all, own);
}
