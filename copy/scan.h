/* SPDX-License-Identifier: Apache-2.0 */
/* scan.h - reads a range of an end in order, several chunks at a time. */
#ifndef COPY_SCAN_H
#define COPY_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "copy/end.h"

struct slot;

/* A chunk, or its part within the range, and its digest, which is all 0 when it is. What
 * comes between two calls is a hole. -1 ends the scan. */
typedef int scan_chunk(void *arg, struct slot *slot, const struct copy_digest *digest,
	struct error *err);

struct scan;

/* NULL: out of memory. Its buffers may be borrowed until the ends that it read are closed: it
 * is freed after them. */
struct scan *scan_new(void);
void scan_free(struct scan *scan);
DEFINE_AUTO(struct scan *, scan_free)

/* Of [from, to); chunks begin at multiples of CHUNK_SIZE, and so does the range. tick of wait
 * is called while waiting. After a failure end can only be closed. */
int scan_run(struct scan *scan, struct end *end, uint64_t from, uint64_t to,
	const struct end_wait *wait, scan_chunk *on_chunk, void *arg,
	struct error *err);

#endif
