/* SPDX-License-Identifier: Apache-2.0 */
/* end_writer.h - writes chunks to an end. */
#ifndef COPY_END_WRITER_H
#define COPY_END_WRITER_H

#include <stdint.h>

#include "copy/end.h"
#include "copy/slot.h"

struct end_writer {
	struct end *end;
	slot_wait *wait; /* for room */
	slot_wait *tick; /* looked at after each step of clearing: -1 gives up */
	void *arg;
	unsigned *buffer; /* counted for requests that borrow the chunk */
	unsigned *all; /* counted for all requests, or NULL */
	uint64_t *copied, *skipped; /* bytes, counted up */
};

/* writer is borrowed. */
struct slot_target end_writer_target(struct end_writer *writer);

/* Have the range read as zeroes. */
int end_writer_clear(
	struct end_writer *writer, uint64_t offset, uint64_t length, struct error *err);

#endif
