/* SPDX-License-Identifier: Apache-2.0 */
/* digest.h - digests of chunks, and the chain they form.
 *
 * A volume is cut at multiples of CHUNK_SIZE; its last chunk may be shorter. A chunk that
 * is all zeroes does not enter the chain, wherever the zeroes came from, so a run of them
 * costs nothing and the result does not depend on how extents fall. Any other one does:
 *
 *	chain' = XXH3-128(chain || offset || length || digest of the chunk)
 *	digest of the chunk = XXH3-128(blocks || map)
 *
 * blocks are its blocks of 4 KiB that are not all zeroes, in order (the last one may be
 * shorter), map has a bit for each block that is among them, 32 bytes, the lowest bit first:
 * holes within a chunk cost nothing either.
 * Both numbers are of 64 bits, big endian, and digests in XXH's canonical form. The first
 * chain is 16 zero bytes. The receipt is the chain with (size, 0, 16 zero bytes) added in
 * the same way: no chunk has length 0.
 */
#ifndef COPY_DIGEST_H
#define COPY_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "copy/copy.h"

#define CHUNK_SIZE ((uint64_t)1 << 20)
#define DIGEST_BLOCK ((size_t)4 << 10)
#define GRAIN_SIZE ((uint64_t)64 << 10) /* zeroes are looked for in pieces of this */
#define DIGEST_TEXT_SIZE 33

/* At most GRAIN_SIZE bytes. */
bool grain_is_zero(const void *data, size_t length);
bool chunk_is_zero(const void *data, size_t length);

/* A piece of a chunk, in bytes from its beginning; from is a multiple of DIGEST_BLOCK, to as
 * well or the chunk's length. */
struct part {
	size_t from, to;
};

/* The digest of a chunk at data. Only the parts, in order, are looked at; the rest is zeroes,
 * whatever memory has there. All zeroes: *out is 0. */
void digest_parts(const void *data, const struct part *parts, unsigned count,
	struct copy_digest *out);
/* The same for all of it. */
void digest_chunk(const void *data, size_t length, struct copy_digest *out);

/* XXH3-128 of some bytes. */
void digest_of(const void *data, size_t length, struct copy_digest *out);
bool digest_equal(const struct copy_digest *a, const struct copy_digest *b);
void digest_chain(struct copy_digest *chain, uint64_t offset, uint64_t length,
	const struct copy_digest *chunk);
/* chain becomes the receipt of a volume of this size. */
void digest_finish(struct copy_digest *chain, uint64_t size);

void digest_to_text(const struct copy_digest *digest, char out[DIGEST_TEXT_SIZE]);
/* False when text is not 32 hex digits. */
bool digest_from_text(const char *text, struct copy_digest *out);

#endif
