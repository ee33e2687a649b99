/* SPDX-License-Identifier: Apache-2.0 */
/* target.h - where a copy writes: a side of this host, or an NBD server.
 *
 * What is asked of a side is done when the call returns; what is asked of a server ends
 * within target_poll() and is counted in *pending until then.
 */
#ifndef COPY_TARGET_H
#define COPY_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "copy/remote.h"
#include "copy/side.h"

struct target {
	struct side side; /* not open when remote */
	struct remote *remote; /* NULL: this host */
	const struct endpoint *end;
	bool blank; /* what was not written reads as zeroes */
	size_t write_bytes; /* the most to be written at once */
	uint64_t zero_bytes; /* the most to be cleared at once */
	void *zeroes; /* write_bytes of them, for a server that cannot clear */
};

/* The target of a copy from source, which is open. end is borrowed. What was opened stays
 * the caller's to close, also on failure. */
int target_open(struct target *target, const struct endpoint *end,
	const struct side *source, const struct copy_options *options,
	const struct remote_wait *wait, struct error *err);
void target_close(struct target *target);

/* Buffers of CHUNK_SIZE that keep it busy. */
size_t target_buffers(const struct target *target);
/* Work that clearing length bytes is, as if so many bytes were written. */
uint64_t target_clear_cost(const struct target *target, uint64_t length);
/* As side_next_data(): from *data on the target may hold something. */
int target_next_data(const struct target *target, uint64_t offset, uint64_t end,
	uint64_t *data, struct error *err);

/* False: target_poll() first. */
bool target_has_room(const struct target *target);
/* buffer is borrowed while *a and *b count it. */
int target_write(struct target *target, const void *buffer, uint64_t offset,
	size_t length, unsigned *a, unsigned *b, struct error *err);
int target_zero(struct target *target, uint64_t offset, uint64_t length, unsigned *a,
	struct error *err);
/* offset: all before it is durable already. */
int target_flush(
	struct target *target, uint64_t offset, unsigned *a, struct error *err);
/* Go on with what is under way for at most seconds, or until wake is readable. */
int target_poll(struct target *target, int wake, double seconds, struct error *err);

#endif
