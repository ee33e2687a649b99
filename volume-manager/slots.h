/* SPDX-License-Identifier: Apache-2.0 */
/* slots.h - how much work runs at once: long work does not keep short work waiting, nor one
 * backend, whose storage may hang, the others. Pure decisions. */
#ifndef VOLUME_MANAGER_SLOTS_H
#define VOLUME_MANAGER_SLOTS_H

#include <stdbool.h>

#include "common/store/operations.h"

enum slot_kind {
	SLOT_SHORT,
	SLOT_FILL, /* of a moment when the storage can clone, else it becomes long */
	SLOT_LONG, /* bytes are copied, or somebody is watched doing so */
	SLOT_KINDS
};

/* How many of each run. */
struct slot_use {
	unsigned count[SLOT_KINDS];
};

enum slot_kind slot_of(const struct operation *op);
/* May one more start? limit: max_operations. all, own: what runs on all backends of the
 * manager, and on this one; alone: it is the only one. */
bool slots_allow(enum slot_kind kind, unsigned limit, const struct slot_use *all,
	const struct slot_use *own, bool alone);

#endif
