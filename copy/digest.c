/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/digest.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "copy/digest_parts.h"

static const unsigned char zeroes[GRAIN_SIZE];

bool grain_is_zero(const void *data, size_t length)
{
	assert(length <= GRAIN_SIZE);
	return memcmp(data, zeroes, length) == 0;
}

bool chunk_is_zero(const void *data, size_t length)
{
	const unsigned char *p = data;

	for (size_t done = 0; done < length; done += GRAIN_SIZE) {
		size_t rest = length - done;
		if (!grain_is_zero(p + done, rest < GRAIN_SIZE ? rest : GRAIN_SIZE))
			return false;
	}
	return true;
}

void digest_of(const void *data, size_t length, struct copy_digest *out)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length));
	memcpy(out->bytes, canonical.digest, sizeof(out->bytes));
}

void digest_parts(const void *data, const struct part *parts, unsigned count,
	struct copy_digest *out)
{
#ifdef HAVE_AVX2_TOO
	if (__builtin_cpu_supports("avx2")) {
		digest_parts_avx2(data, parts, count, out);
		return;
	}
#endif
	digest_parts_anywhere(data, parts, count, out);
}

void digest_chunk(const void *data, size_t length, struct copy_digest *out)
{
	const struct part all = { 0, length };

	assert(length <= CHUNK_SIZE);
	digest_parts(data, &all, 1, out);
}

bool digest_equal(const struct copy_digest *a, const struct copy_digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static void put_number(unsigned char *out, uint64_t number)
{
	for (int i = 7; i >= 0; i--, number >>= 8)
		out[i] = (unsigned char)number;
}

void digest_chain(struct copy_digest *chain, uint64_t offset, uint64_t length,
	const struct copy_digest *chunk)
{
	unsigned char link[48];

	memcpy(link, chain->bytes, 16);
	put_number(link + 16, offset);
	put_number(link + 24, length);
	memcpy(link + 32, chunk->bytes, 16);
	digest_of(link, sizeof(link), chain);
}

void digest_finish(struct copy_digest *chain, uint64_t size)
{
	const struct copy_digest none = { 0 };

	digest_chain(chain, size, 0, &none);
}

void digest_to_text(const struct copy_digest *digest, char out[DIGEST_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(digest->bytes); i++) {
		out[2 * i] = digits[digest->bytes[i] >> 4];
		out[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	out[DIGEST_TEXT_SIZE - 1] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool digest_from_text(const char *text, struct copy_digest *out)
{
	struct copy_digest digest;

	if (strlen(text) != DIGEST_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < sizeof(digest.bytes); i++) {
		int high = hex_value(text[2 * i]);
		int low = hex_value(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		digest.bytes[i] = (unsigned char)(high << 4 | low);
	}
	*out = digest;
	return true;
}
