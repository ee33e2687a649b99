/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/auto.h"
#include "common/log.h"
#include "common/text.h"
#include "copy/copy.h"
#include "copy/digest.h"
#include "copy/pace.h"
#include "copy/side.h"
#include "copy/window.h"

#define EXTENTS 256 /* asked for at once */

/* Extents whose place on the disk says nothing about their bytes. */
#define UNSURE \
	(FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED | \
		FIEMAP_EXTENT_DATA_ENCRYPTED | FIEMAP_EXTENT_NOT_ALIGNED | \
		FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_DATA_TAIL)
/* Flags that say nothing about the bytes. */
#define IRRELEVANT (FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED | FIEMAP_EXTENT_SHARED)

/* A file's extents, walked from front to back. */
struct map {
	const struct side *side;
	struct fiemap *batch; /* NULL: the file system cannot tell */
	uint32_t next; /* index into the batch of the first extent that may matter */
};

/* What is known about a file from some offset on. */
struct place {
	uint64_t end; /* the same holds up to here */
	bool hole;
	bool sure;
	uint64_t physical; /* of the offset itself */
	uint32_t flags;
};

struct verify {
	const struct copy_options *options;
	struct side source, target;
	struct map source_map, target_map;
	void *source_buffer, *target_buffer;
	struct copy_progress progress;
	struct pace pace;
};

static void verify_clear(struct verify *verify)
{
	side_close(&verify->source);
	side_close(&verify->target);
	free(verify->source_map.batch);
	free(verify->target_map.batch);
	free(verify->source_buffer);
	free(verify->target_buffer);
}
DEFINE_AUTO(struct verify *, verify_clear)

/* The batch of extents that begins at offset. */
static int map_load(struct map *map, uint64_t offset, uint64_t end, struct error *err)
{
	size_t size = sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent);

	memset(map->batch, 0, size);
	map->batch->fm_start = offset;
	map->batch->fm_length = end - offset;
	map->batch->fm_flags = FIEMAP_FLAG_SYNC;
	map->batch->fm_extent_count = EXTENTS;
	map->next = 0;
	if (ioctl(map->side->fd, FS_IOC_FIEMAP, map->batch) < 0)
		return error_set_errno(err, ERR_IO, "cannot map %s '%s'",
			map->side->role, map->side->path);
	return 0;
}

static int map_init(
	struct map *map, const struct side *side, uint64_t end, struct error *err)
{
	size_t size = sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent);

	map->side = side;
	map->batch = malloc(size);
	if (!map->batch)
		return error_no_memory(err);
	if (side->is_file && map_load(map, 0, end, err) == 0)
		return 0;
	log_debug("no extent map, reading all side=%s path=%s", side->role, side->path);
	free(steal(map->batch));
	return 0;
}

static uint64_t extent_end(const struct fiemap_extent *extent)
{
	return extent->fe_logical + extent->fe_length;
}

/* The first extent that ends after offset; *out is NULL when there is none. */
static int map_extent(struct map *map, uint64_t offset, uint64_t end,
	const struct fiemap_extent **out, struct error *err)
{
	for (;;) {
		const struct fiemap *batch = map->batch;
		uint32_t count = batch->fm_mapped_extents;

		while (map->next < count &&
			extent_end(&batch->fm_extents[map->next]) <= offset)
			map->next++;
		if (map->next < count) {
			*out = &batch->fm_extents[map->next];
			return 0;
		}
		if (count < EXTENTS ||
			batch->fm_extents[count - 1].fe_flags & FIEMAP_EXTENT_LAST) {
			*out = NULL;
			return 0;
		}
		if (map_load(map, offset, end, err) < 0)
			return -1;
	}
}

static int map_place(struct map *map, uint64_t offset, uint64_t end, struct place *out,
	struct error *err)
{
	const struct fiemap_extent *extent = NULL;

	*out = (struct place) { .end = end };
	if (!map->batch)
		return 0;
	if (map_extent(map, offset, end, &extent, err) < 0)
		return -1;
	out->sure = true;
	out->hole = !extent || extent->fe_logical > offset;
	if (!extent)
		return 0;
	out->end = out->hole ? extent->fe_logical : extent_end(extent);
	out->end = out->end < end ? out->end : end;
	if (out->hole)
		return 0;
	out->sure = !(extent->fe_flags & UNSURE);
	out->flags = extent->fe_flags & ~(uint32_t)IRRELEVANT;
	out->physical = extent->fe_physical + (offset - extent->fe_logical);
	return 0;
}

static bool place_is_shared(const struct place *a, const struct place *b)
{
	if (!a->sure || !b->sure || a->hole != b->hole)
		return false;
	return a->hole || (a->physical == b->physical && a->flags == b->flags);
}

/* Begins at a whole block before offset, so that reads are aligned. */
static int compare_bytes(
	struct verify *verify, uint64_t offset, uint64_t end, struct error *err)
{
	while (offset < end) {
		uint64_t start = offset - offset % SIDE_ALIGNMENT;
		uint64_t rest = end - start;
		size_t length = (size_t)(rest < CHUNK_SIZE ? rest : CHUNK_SIZE);

		if (pace_wait(&verify->pace, &verify->progress, length, err) < 0 ||
			side_read_back(&verify->source, verify->source_buffer, start,
				length, err) < 0 ||
			side_read_back(&verify->target, verify->target_buffer, start,
				length, err) < 0 ||
			sides_compare(verify->source_buffer, verify->target_buffer,
				start, length, err) < 0)
			return -1;
		offset = start + length;
		verify->progress.position = verify->progress.verified = offset;
		if (pace_report(&verify->pace, &verify->progress, false, err) < 0)
			return -1;
	}
	return 0;
}

static int verify_step(struct verify *verify, struct error *err)
{
	uint64_t offset = verify->progress.position;
	uint64_t end = verify->options->size;
	struct place source, target;

	if (map_place(&verify->source_map, offset, end, &source, err) < 0 ||
		map_place(&verify->target_map, offset, end, &target, err) < 0)
		return -1;
	end = source.end < target.end ? source.end : target.end;
	if (!place_is_shared(&source, &target))
		return compare_bytes(verify, offset, end, err);
	verify->progress.skipped += end - offset;
	verify->progress.position = verify->progress.verified = end;
	return pace_report(&verify->pace, &verify->progress, false, err);
}

/* Physical offsets mean something only within one file system. */
static bool same_file_system(const struct side *a, const struct side *b)
{
	struct stat sa, sb;

	return a->is_file && b->is_file && fstat(a->fd, &sa) == 0 &&
		fstat(b->fd, &sb) == 0 && sa.st_dev == sb.st_dev;
}

static int verify_prepare(struct verify *verify, const struct endpoint *source,
	const struct endpoint *target, struct error *err)
{
	uint64_t size = verify->options->size;

	if (sides_open(source, target, size, &verify->source, &verify->target, err) < 0)
		return -1;
	verify->source_buffer = side_buffer();
	verify->target_buffer = side_buffer();
	if (!verify->source_buffer || !verify->target_buffer)
		return error_no_memory(err);
	if (side_flush(&verify->target, err) < 0)
		return -1;
	if (!same_file_system(&verify->source, &verify->target))
		return 0;
	if (map_init(&verify->source_map, &verify->source, size, err) < 0 ||
		map_init(&verify->target_map, &verify->target, size, err) < 0)
		return -1;
	return 0;
}

int copy_verify_clone(const struct endpoint *source, const struct endpoint *target,
	const struct copy_options *options, struct copy_result *result,
	struct error *err)
{
	struct verify state = {
		.options = options,
		.source = { .fd = -1, .direct = -1 },
		.target = { .fd = -1, .direct = -1 },
		.progress.total = options->size,
	};
	AUTO(verify_clear) struct verify *verify = &state;

	if (verify_prepare(verify, source, target, err) < 0)
		return -1;
	pace_init(&verify->pace, options);
	while (verify->progress.position < options->size)
		if (verify_step(verify, err) < 0)
			return -1;
	if (pace_report(&verify->pace, &verify->progress, true, err) < 0)
		return -1;
	*result = (struct copy_result) {
		.skipped = verify->progress.skipped,
		.seconds = clock_seconds() - verify->pace.started,
	};
	return 0;
}
