/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/digest_parts.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#ifdef FOR_AVX2
#define NAME digest_parts_avx2
#else
#define NAME digest_parts_anywhere
#endif

/* The run of blocks from at on that are all zeroes, or all not. */
static size_t run_end(const unsigned char *data, size_t at, size_t end, bool *zero)
{
	bool first = true;

	for (size_t length; at < end; at += length, first = false) {
		bool now;

		length = end - at < DIGEST_BLOCK ? end - at : DIGEST_BLOCK;
		now = grain_is_zero(data + at, length);
		if (first)
			*zero = now;
		else if (now != *zero)
			break;
	}
	return at;
}

void NAME(const void *data, const struct part *parts, unsigned count,
	struct copy_digest *out)
{
	unsigned char map[CHUNK_SIZE / DIGEST_BLOCK / 8] = { 0 };
	XXH128_canonical_t canonical;
	const unsigned char *p = data;
	bool zero = true, any = false;
	XXH3_state_t state;

	XXH3_128bits_reset(&state);
	for (unsigned i = 0; i < count; i++)
		for (size_t at = parts[i].from, to; at < parts[i].to; at = to) {
			to = run_end(p, at, parts[i].to, &zero);
			if (zero)
				continue;
			any = true;
			XXH3_128bits_update(&state, p + at, to - at);
			for (size_t b = at / DIGEST_BLOCK; b * DIGEST_BLOCK < to; b++)
				map[b / 8] |= (unsigned char)(1U << b % 8);
		}
	*out = (struct copy_digest) { 0 };
	if (!any)
		return;
	XXH3_128bits_update(&state, map, sizeof(map));
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
	memcpy(out->bytes, canonical.digest, sizeof(out->bytes));
}
