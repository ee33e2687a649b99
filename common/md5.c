/* SPDX-License-Identifier: Apache-2.0 */
/* By hand, as the libraries that have it may refuse it (FIPS), and this is no secret. */
#include "common/md5.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BLOCK 64

struct md5 {
	uint32_t a, b, c, d;
};

/* floor(2^32 * abs(sin(i + 1))) */
static const uint32_t sines[64] = {
	0xd76aa478,
	0xe8c7b756,
	0x242070db,
	0xc1bdceee,
	0xf57c0faf,
	0x4787c62a,
	0xa8304613,
	0xfd469501,
	0x698098d8,
	0x8b44f7af,
	0xffff5bb1,
	0x895cd7be,
	0x6b901122,
	0xfd987193,
	0xa679438e,
	0x49b40821,
	0xf61e2562,
	0xc040b340,
	0x265e5a51,
	0xe9b6c7aa,
	0xd62f105d,
	0x02441453,
	0xd8a1e681,
	0xe7d3fbc8,
	0x21e1cde6,
	0xc33707d6,
	0xf4d50d87,
	0x455a14ed,
	0xa9e3e905,
	0xfcefa3f8,
	0x676f02d9,
	0x8d2a4c8a,
	0xfffa3942,
	0x8771f681,
	0x6d9d6122,
	0xfde5380c,
	0xa4beea44,
	0x4bdecfa9,
	0xf6bb4b60,
	0xbebfbc70,
	0x289b7ec6,
	0xeaa127fa,
	0xd4ef3085,
	0x04881d05,
	0xd9d4d039,
	0xe6db99e5,
	0x1fa27cf8,
	0xc4ac5665,
	0xf4292244,
	0x432aff97,
	0xab9423a7,
	0xfc93a039,
	0x655b59c3,
	0x8f0ccc92,
	0xffeff47d,
	0x85845dd1,
	0x6fa87e4f,
	0xfe2ce6e0,
	0xa3014314,
	0x4e0811a1,
	0xf7537e82,
	0xbd3af235,
	0x2ad7d2bb,
	0xeb86d391,
};
static const uint8_t turns[4][4] = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 },
	{ 4, 11, 16, 23 }, { 6, 10, 15, 21 } };

static uint32_t turn_left(uint32_t x, unsigned by)
{
	return x << by | x >> (32 - by);
}

static uint32_t word(const unsigned char *block, unsigned i)
{
	const unsigned char *p = block + 4 * (size_t)i;

	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
		(uint32_t)p[3] << 24;
}

/* The round's function of the state, and which word of the block it takes. */
static uint32_t mix(const struct md5 *s, unsigned i, unsigned *which)
{
	switch (i / 16) {
	case 0:
		*which = i;
		return (s->b & s->c) | (~s->b & s->d);
	case 1:
		*which = (5 * i + 1) % 16;
		return (s->d & s->b) | (~s->d & s->c);
	case 2:
		*which = (3 * i + 5) % 16;
		return s->b ^ s->c ^ s->d;
	default:
		*which = 7 * i % 16;
		return s->c ^ (s->b | ~s->d);
	}
}

static void add_block(struct md5 *state, const unsigned char *block)
{
	struct md5 s = *state;
	unsigned which;

	for (unsigned i = 0; i < 64; i++) {
		uint32_t f = mix(&s, i, &which) + s.a + sines[i] + word(block, which);

		s = (struct md5) { s.d, s.b + turn_left(f, turns[i / 16][i % 4]), s.b,
			s.c };
	}
	state->a += s.a;
	state->b += s.b;
	state->c += s.c;
	state->d += s.d;
}

void md5_text(const void *data, size_t length, char out[MD5_TEXT_SIZE])
{
	struct md5 s = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
	const unsigned char *rest = data;
	size_t left = length;
	unsigned char last[2 * BLOCK] = { 0 };
	size_t last_size;
	const uint32_t *words = (const uint32_t *)(const void *)&s;

	for (; left >= BLOCK; left -= BLOCK, rest += BLOCK)
		add_block(&s, rest);
	if (left)
		memcpy(last, rest, left);
	last[left] = 0x80;
	last_size = left + 9 > BLOCK ? 2 * BLOCK : BLOCK;
	for (unsigned i = 0; i < 8; i++)
		last[last_size - 8 + i] =
			(unsigned char)((uint64_t)length * 8 >> 8 * i);
	for (size_t at = 0; at < last_size; at += BLOCK)
		add_block(&s, last + at);
	for (unsigned i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", words[i / 4] >> 8 * (i % 4) & 0xff);
}
