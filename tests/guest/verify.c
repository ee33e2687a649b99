/* SPDX-License-Identifier: Apache-2.0 */
/* verify FILE RUN LAST [BLOCKS]: does the disk hold what the guest was told is durable?
 *
 * Each block must hold its last write among 1..LAST of the run, or a later one, whole. Prints
 * one JSON object; status 1 when something is lost or torn, 2 when it cannot be looked at. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#include "pattern.h"

struct result {
	unsigned long long written, lost, torn, newer, strange;
};

static uint64_t *expect(uint64_t run, uint64_t last, uint64_t blocks)
{
	uint64_t *wanted = calloc(blocks, sizeof(*wanted));

	for (uint64_t n = 1; wanted && n <= last; n++)
		for (unsigned k = 0; k < PER_WRITE; k++)
			wanted[place_of(run, n, k, blocks)] = n;
	return wanted;
}

static void judge(const uint64_t *is, uint64_t run, uint64_t place, uint64_t wanted,
	struct result *result)
{
	uint64_t should[PATTERN_WORDS];

	if (is[0] != MAGIC || is[1] != run) {
		if (wanted)
			result->lost++;
		else if (is[0] != 0 && is[0] != MAGIC)
			result->strange++;
		return;
	}
	result->written++;
	fill_block(should, run, is[2], place);
	if (memcmp(should, is, PATTERN_BLOCK) != 0)
		result->torn++;
	else if (is[2] < wanted)
		result->lost++;
	else if (is[2] > wanted)
		result->newer++;
}

static uint64_t blocks_of(int fd)
{
	struct stat st;
	uint64_t size;

	if (fstat(fd, &st) < 0)
		return 0;
	size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &size) < 0)
		return 0;
	return size / PATTERN_BLOCK;
}

int main(int argc, char **argv)
{
	struct result result = { 0 };
	uint64_t run, last, blocks, block[PATTERN_WORDS], *wanted;
	int fd = argc >= 4 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return perror("verify"), 2;
	run = strtoull(argv[2], NULL, 10);
	last = strtoull(argv[3], NULL, 10);
	blocks = blocks_of(fd);
	if (argc > 4 && strtoull(argv[4], NULL, 10) < blocks)
		blocks = strtoull(argv[4], NULL, 10);
	wanted = blocks ? expect(run, last, blocks) : NULL;
	if (!wanted)
		return perror("verify"), 2;
	for (uint64_t place = 0; place < blocks; place++) {
		if (pread(fd, block, PATTERN_BLOCK, (off_t)(place * PATTERN_BLOCK)) !=
			PATTERN_BLOCK)
			return perror("verify"), 2;
		judge(block, run, place, wanted[place], &result);
	}
	printf("{\"written\": %llu, \"lost\": %llu, \"torn\": %llu, \"newer\": %llu,"
	       " \"strange\": %llu}\n",
		result.written, result.lost, result.torn, result.newer, result.strange);
	return result.lost || result.torn || result.strange ? 1 : 0;
}
