/* SPDX-License-Identifier: Apache-2.0 */
/* carry.h - a chunk from one path to another by blocking calls, while it is in the
 * processor's cache. */
#ifndef COPY_CARRY_H
#define COPY_CARRY_H

#include "copy/side.h"
#include "copy/slot.h"

struct carry {
	struct slot *slot; /* slot_begin() was called */
	const struct side *source, *target;
	bool digested; /* the digest is wanted */
	/* What came of it. */
	bool zero; /* all of it; nothing was written */
	uint64_t copied, skipped; /* bytes */
	struct copy_digest digest; /* unless zero */
};

/* In a thread of a pool. arg: the struct carry. */
int carry_run(void *arg, struct error *err);

#endif
