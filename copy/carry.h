/* SPDX-License-Identifier: Apache-2.0 */
/* carry.h - reads a chunk from a path by blocking calls, and writes each piece of it while it
 * is in the processor's cache. */
#ifndef COPY_CARRY_H
#define COPY_CARRY_H

#include <pthread.h>

#include "copy/side.h"
#include "copy/slot.h"

/* Small enough for the cache of one processor. */
#define CARRY_PIECE ((size_t)256 << 10)

struct carry {
	struct slot *slot; /* slot_begin() was called */
	const struct side *source; /* NULL: the slot was read already */
	struct slot_target to;
	size_t piece; /* bytes that are read before they are written */
	bool digested; /* the digest is wanted */
	/* What came of it. */
	bool zero; /* all of it; nothing was written */
	struct copy_digest digest; /* unless zero */

	/* For a target that is a path, see carry_to_side(). */
	const struct side *target;
	bool target_was_empty; /* where nothing was written it is a hole */
	/* Held while writing, or NULL. The kernel lets one thread at a time write to a file:
	 * others spin, which is faster than to sleep for a turn, unless there is something
	 * else to be done meanwhile. */
	pthread_mutex_t *turn;
	uint64_t copied, skipped; /* bytes */
};

/* Have it written to target by blocking calls, and counted. turn is borrowed,
 * or NULL. */
void carry_to_side(
	struct carry *carry, const struct end *target, pthread_mutex_t *turn);

/* Which thread does not matter when the target is a path. arg: the struct carry. */
int carry_run(void *arg, struct error *err);

#endif
