/* SPDX-License-Identifier: Apache-2.0 */
/* side.h - one end of a copy: a regular file or a block device, opened for big transfers.
 *
 * Reads and writes may come from several threads at once. Buffers are aligned to
 * SIDE_ALIGNMENT and their room is a multiple of it: a read may fill up to that much.
 * Errors name the side, the path and the offset.
 */
#ifndef COPY_SIDE_H
#define COPY_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/error.h"
#include "copy/copy.h"

#define SIDE_ALIGNMENT 4096

struct side {
	const char *role; /* "source" or "target" */
	const char *path;
	int fd; /* through the page cache; -1 when not open */
	int direct; /* past it; -1 where the file system cannot */
	bool is_file;
	uint64_t size;
};

/* role and end are borrowed until side_close(). */
int side_open(struct side *side, const char *role, const struct endpoint *end,
	bool writable, struct error *err);
void side_close(struct side *side);
DEFINE_AUTO(struct side *, side_close)

/* Both ends of a copy of size bytes, which must not be one and the same. What was opened
 * stays the caller's to close, also on failure. */
int sides_open(const struct endpoint *source_end, const struct endpoint *target_end,
	uint64_t size, struct side *source, struct side *target, struct error *err);
/* The last part of it, for sides that are open. */
int sides_check(const struct side *source, const struct side *target, uint64_t size,
	struct error *err);
/* Is the source of this size? A device may be larger. */
int source_check(const struct side *source, uint64_t size, struct error *err);
/* Is there enough room for a volume of size bytes? */
int size_check(const char *role, const char *name, uint64_t has, uint64_t size,
	struct error *err);

/* Exactly length bytes, or an error. */
int side_read(const struct side *side, void *buffer, uint64_t offset, size_t length,
	struct error *err);
/* The same from the storage itself, after side_flush(). */
int side_read_back(const struct side *side, void *buffer, uint64_t offset,
	size_t length, struct error *err);
int side_write(const struct side *side, const void *buffer, uint64_t offset,
	size_t length, struct error *err);
/* Make the range read as zeroes, freeing its space where the storage can. What is a hole
 * already is left alone. */
int side_zero(
	const struct side *side, uint64_t offset, uint64_t length, struct error *err);
int side_flush(const struct side *side, struct error *err);

/* *data becomes the first offset from offset on that may hold something other than zeroes,
 * *hole the first one after it that does not; UINT64_MAX: none. A block device may hold
 * something everywhere. */
int side_extent(const struct side *side, uint64_t offset, uint64_t *data,
	uint64_t *hole, struct error *err);
/* Have the range read from the storage, not from the page cache, after side_flush(). */
void side_forget(const struct side *side, uint64_t offset, uint64_t length);

/* *data becomes the first offset in [offset, end) that may hold something other than
 * zeroes, or end. All of a block device may. */
int side_next_data(const struct side *side, uint64_t offset, uint64_t end,
	uint64_t *data, struct error *err);

/* ERR_MISMATCH when the buffers differ; offset is that of their first byte. */
int sides_compare(const void *source, const void *target, uint64_t offset,
	size_t length, struct error *err);

/* CHUNK_SIZE bytes, aligned; freed with free(). NULL: out of memory. */
void *side_buffer(void);
/* Count of them, one after the other, at most 64; they take memory when they are touched. In
 * huge pages where the kernel has them: what is read or written past the page cache is one
 * piece for the storage then, not one for each page, which takes a third off the time of a
 * copy on a virtual disk. */
void *side_buffers(unsigned count);

#endif
