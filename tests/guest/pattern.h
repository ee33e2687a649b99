/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.h - what the test guest writes, and how anybody can tell what it has written.
 *
 * The disk is an array of blocks. Write n of a run puts PER_WRITE blocks at places that
 * follow from the run and n; each says where it is, in which run and write, and is filled
 * with words that follow from these. A write counts when it is flushed: then the guest
 * prints "ACK run n". Whoever knows the last one can say what each block must hold.
 */
#ifndef TESTS_GUEST_PATTERN_H
#define TESTS_GUEST_PATTERN_H

#include <stdint.h>

#define PATTERN_BLOCK 4096
#define PATTERN_WORDS (PATTERN_BLOCK / 8)
#define PER_WRITE 8
#define MAGIC 0x64726f7665725031ULL

static inline uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* Where block k of write n goes. */
static inline uint64_t place_of(uint64_t run, uint64_t n, unsigned k, uint64_t blocks)
{
	return scramble(scramble(run) + n * PER_WRITE + k) % blocks;
}

static inline void fill_block(
	uint64_t words[PATTERN_WORDS], uint64_t run, uint64_t n, uint64_t place)
{
	uint64_t seed = scramble(scramble(run ^ place) + n);

	words[0] = MAGIC;
	words[1] = run;
	words[2] = n;
	words[3] = place;
	for (unsigned i = 4; i < PATTERN_WORDS; i++)
		words[i] = seed = seed * 6364136223846793005ULL + i;
}

#endif
