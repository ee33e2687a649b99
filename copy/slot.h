/* SPDX-License-Identifier: Apache-2.0 */
/* slot.h - a chunk in memory: where it is data it is read. */
#ifndef COPY_SLOT_H
#define COPY_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "copy/digest.h"
#include "copy/end.h"

#define SLOT_PARTS 32

struct slot {
	unsigned char *data; /* CHUNK_SIZE bytes, aligned */
	unsigned pending; /* requests that borrow it */
	bool busy; /* from reading until all is written */
	uint64_t offset; /* of the chunk */
	size_t length;
	struct part parts[SLOT_PARTS]; /* that may hold data, in order */
	unsigned part_count; /* the rest is zeroes, and not filled in */
};

/* Wait for the end to make room: -1 gives up. */
typedef int slot_wait(void *arg, struct error *err);

/* Find out where the chunk at offset may have data. */
int slot_begin(struct slot *slot, struct end *source, uint64_t offset, size_t length,
	struct error *err);
/* The same, and begin to read the chunk at offset; it has been read when pending is 0. */
int slot_read(struct slot *slot, struct end *source, uint64_t offset, size_t length,
	slot_wait *wait, void *arg, struct error *err);

bool slot_is_zero(const struct slot *slot);
void slot_digest(const struct slot *slot, struct copy_digest *out);
/* All of the chunk is in memory then. */
void slot_fill(struct slot *slot);

/* Where a slot is written to. Offsets are those of the volume. */
struct slot_target {
	uint64_t block; /* that the target takes */
	/* Does the target read as zeroes there already? */
	int (*is_hole)(
		void *arg, uint64_t from, uint64_t to, bool *out, struct error *err);
	int (*write)(void *arg, const unsigned char *data, uint64_t offset,
		size_t length, struct error *err);
	int (*clear)(void *arg, uint64_t offset, uint64_t length, struct error *err);
	void *arg;
	uint64_t skipped; /* zeroes that were left alone, counted up */
};

/* Write bytes [from, to) of the chunk where they are not zeroes. Zeroes are left alone where
 * the target has them, cleared when there are many, and written otherwise: a request of its
 * own would cost more. */
int slot_write(struct slot *slot, size_t from, size_t to, struct slot_target *target,
	struct error *err);

#endif
