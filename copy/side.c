/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/side.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "copy/digest.h"
#include "copy/remote.h"

#define HUGE_PAGE ((size_t)2 << 20)

void *side_buffer(void)
{
	return aligned_alloc(SIDE_ALIGNMENT, CHUNK_SIZE);
}

void *side_buffers(unsigned count)
{
	const size_t size = (count * CHUNK_SIZE + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	void *buffers = aligned_alloc(HUGE_PAGE, size);

	if (buffers)
		madvise(buffers, size, MADV_HUGEPAGE);
	return buffers;
}

static int side_error(
	const struct side *side, const char *what, uint64_t offset, struct error *err)
{
	return error_set_errno(err, ERR_IO, "cannot %s %s '%s' at offset %" PRIu64,
		what, side->role, side->path, offset);
}

static int measure(struct side *side, struct error *err)
{
	struct stat st;

	if (fstat(side->fd, &st) < 0)
		return error_set_errno(
			err, ERR_IO, "cannot look at %s '%s'", side->role, side->path);
	side->is_file = S_ISREG(st.st_mode);
	side->size = (uint64_t)st.st_size;
	if (side->is_file)
		return 0;
	if (!S_ISBLK(st.st_mode))
		return error_set(err, ERR_IO,
			"%s '%s' is neither a regular file nor a block device",
			side->role, side->path);
	if (ioctl(side->fd, BLKGETSIZE64, &side->size) < 0)
		return error_set_errno(err, ERR_IO, "cannot ask the size of %s '%s'",
			side->role, side->path);
	return 0;
}

/* Some file systems take O_DIRECT when opening and refuse it when reading. Asked once,
 * so that nothing in *side changes while threads use it. */
static int probe_direct(struct side *side, int flags, struct error *err)
{
	AUTO(free) void *buffer = side_buffer();
	AUTO(fd) int direct = open(side->path, flags | O_DIRECT);

	if (!buffer)
		return error_no_memory(err);
	if (direct >= 0 && pread(direct, buffer, SIDE_ALIGNMENT, 0) < 0 &&
		errno == EINVAL) {
		close(direct);
		direct = -1;
	}
	if (direct < 0)
		log_debug("no direct I/O, going through the page cache side=%s path=%s",
			side->role, side->path);
	side->direct = steal_fd(&direct);
	return 0;
}

int side_open(struct side *side, const char *role, const struct endpoint *end,
	bool writable, struct error *err)
{
	/* O_NONBLOCK: a pipe in the place of a volume must not hold us. */
	int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
	struct side new = { .role = role, .path = end->path, .fd = -1, .direct = -1 };
	AUTO(side_close) struct side *opening = &new;

	if (endpoint_is_remote(end))
		return error_set(err, ERR_NOT_SUPPORTED, "%s '%s' is not a path", role,
			endpoint_name(end));
	new.fd = open(end->path, flags);
	if (new.fd < 0)
		return error_set_errno(
			err, ERR_IO, "cannot open %s '%s'", role, end->path);
	if (measure(&new, err) < 0 || probe_direct(&new, flags, err) < 0)
		return -1;
	*side = *steal(opening);
	return 0;
}

void side_close(struct side *side)
{
	if (side->fd >= 0)
		close(side->fd);
	if (side->direct >= 0)
		close(side->direct);
	side->fd = side->direct = -1;
}

static bool is_same(const struct side *a, const struct side *b)
{
	struct stat sa, sb;

	if (fstat(a->fd, &sa) < 0 || fstat(b->fd, &sb) < 0)
		return false;
	if (a->is_file != b->is_file)
		return false;
	if (a->is_file)
		return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
	return sa.st_rdev == sb.st_rdev;
}

int size_check(const char *role, const char *name, uint64_t has, uint64_t size,
	struct error *err)
{
	if (has >= size)
		return 0;
	return error_set(err, ERR_IO,
		"%s '%s' has %" PRIu64 " bytes, fewer than the volume's %" PRIu64, role,
		name, has, size);
}

int source_check(const struct side *source, uint64_t size, struct error *err)
{
	if (source->is_file && source->size > size)
		return error_set(err, ERR_IO,
			"source '%s' has %" PRIu64
			" bytes, more than the volume's %" PRIu64,
			source->path, source->size, size);
	return size_check(source->role, source->path, source->size, size, err);
}

int sides_check(const struct side *source, const struct side *target, uint64_t size,
	struct error *err)
{
	if (is_same(source, target))
		return error_set(err, ERR_INVALID_INPUT,
			"source '%s' and target '%s' are the same", source->path,
			target->path);
	if (source_check(source, size, err) < 0)
		return -1;
	return size_check(target->role, target->path, target->size, size, err);
}

int sides_open(const struct endpoint *source_end, const struct endpoint *target_end,
	uint64_t size, struct side *source, struct side *target, struct error *err)
{
	if (side_open(source, "source", source_end, false, err) < 0 ||
		side_open(target, "target", target_end, true, err) < 0)
		return -1;
	return sides_check(source, target, size, err);
}

static bool is_aligned(const void *buffer, uint64_t offset)
{
	return offset % SIDE_ALIGNMENT == 0 && (uintptr_t)buffer % SIDE_ALIGNMENT == 0;
}

/* Direct reads go to the end of the last block: the buffer has the room, and the end of
 * the file or device cuts them. */
static ssize_t read_some(
	const struct side *side, unsigned char *buffer, uint64_t offset, size_t length)
{
	size_t whole = (length + SIDE_ALIGNMENT - 1) & ~(size_t)(SIDE_ALIGNMENT - 1);
	ssize_t got = -1;

	errno = EINVAL;
	if (side->direct >= 0 && is_aligned(buffer, offset))
		got = pread(side->direct, buffer, whole, (off_t)offset);
	if (got < 0 && errno == EINVAL)
		got = pread(side->fd, buffer, length, (off_t)offset);
	return got > (ssize_t)length ? (ssize_t)length : got;
}

int side_read(const struct side *side, void *buffer, uint64_t offset, size_t length,
	struct error *err)
{
	unsigned char *p = buffer;

	assert(is_aligned(buffer, 0) && length <= CHUNK_SIZE);
	for (size_t done = 0; done < length;) {
		ssize_t got = read_some(side, p + done, offset + done, length - done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return side_error(side, "read", offset + done, err);
		if (got == 0)
			return error_set(err, ERR_IO,
				"%s '%s' ends at offset %" PRIu64
				", before its size of %" PRIu64 " bytes",
				side->role, side->path, offset + done, side->size);
		done += (size_t)got;
	}
	return 0;
}

void side_forget(const struct side *side, uint64_t offset, uint64_t length)
{
	if (side->direct < 0)
		posix_fadvise(
			side->fd, (off_t)offset, (off_t)length, POSIX_FADV_DONTNEED);
}

int side_read_back(const struct side *side, void *buffer, uint64_t offset,
	size_t length, struct error *err)
{
	side_forget(side, offset, length);
	return side_read(side, buffer, offset, length, err);
}

/* Direct writes must not reach past the end, so the rest of a block takes the cache. */
static ssize_t write_some(const struct side *side, const unsigned char *buffer,
	uint64_t offset, size_t length)
{
	size_t whole = length & ~(size_t)(SIDE_ALIGNMENT - 1);
	ssize_t put = -1;

	errno = EINVAL;
	if (side->direct >= 0 && whole > 0 && is_aligned(buffer, offset))
		put = pwrite(side->direct, buffer, whole, (off_t)offset);
	if (put < 0 && errno == EINVAL)
		put = pwrite(side->fd, buffer, length, (off_t)offset);
	return put;
}

int side_write(const struct side *side, const void *buffer, uint64_t offset,
	size_t length, struct error *err)
{
	const unsigned char *p = buffer;

	for (size_t done = 0; done < length;) {
		ssize_t put = write_some(side, p + done, offset + done, length - done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put == 0)
			errno = ENOSPC;
		if (put <= 0)
			return side_error(side, "write", offset + done, err);
		done += (size_t)put;
	}
	return 0;
}

static int write_zeroes(
	const struct side *side, uint64_t offset, uint64_t length, struct error *err)
{
	AUTO(free) void *zeroes = side_buffer();

	if (!zeroes)
		return error_no_memory(err);
	memset(zeroes, 0, CHUNK_SIZE);
	while (length > 0) {
		size_t part = length < CHUNK_SIZE ? (size_t)length : CHUNK_SIZE;
		if (side_write(side, zeroes, offset, part, err) < 0)
			return -1;
		offset += part;
		length -= part;
	}
	return 0;
}

static int deallocate(
	const struct side *side, int mode, uint64_t offset, uint64_t length)
{
	int failed;

	do
		failed = fallocate(side->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			(off_t)length);
	while (failed && errno == EINTR);
	return failed;
}

/* Both calls promise zeroes, on files and on block devices: fallocate(2). EINVAL is a
 * block device whose blocks the range does not fill. */
int side_zero(
	const struct side *side, uint64_t offset, uint64_t length, struct error *err)
{
	static const int modes[] = { FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE };
	uint64_t end = offset + length;

	if (side_next_data(side, offset, end, &offset, err) < 0)
		return -1;
	if (offset == end)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (deallocate(side, modes[i], offset, end - offset) == 0)
			return 0;
		if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS &&
			errno != ENODEV)
			return side_error(side, "clear", offset, err);
	}
	return write_zeroes(side, offset, end - offset, err);
}

int side_flush(const struct side *side, struct error *err)
{
	if (fdatasync(side->fd) < 0)
		return error_set_errno(
			err, ERR_IO, "cannot flush %s '%s'", side->role, side->path);
	return 0;
}

int side_extent(const struct side *side, uint64_t offset, uint64_t *data,
	uint64_t *hole, struct error *err)
{
	off_t found, end;

	*data = offset;
	*hole = UINT64_MAX;
	if (!side->is_file)
		return 0;
	found = lseek(side->fd, (off_t)offset, SEEK_DATA);
	if (found < 0 && errno == ENXIO) {
		*data = UINT64_MAX;
		return 0;
	}
	if (found < 0 && (errno == EINVAL || errno == EOPNOTSUPP))
		return 0;
	if (found < 0)
		return side_error(side, "look for data in", offset, err);
	*data = (uint64_t)found;
	end = lseek(side->fd, found, SEEK_HOLE);
	if (end > found)
		*hole = (uint64_t)end;
	return 0;
}

int side_next_data(const struct side *side, uint64_t offset, uint64_t end,
	uint64_t *data, struct error *err)
{
	uint64_t hole;

	*data = offset;
	if (offset >= end)
		return 0;
	if (side_extent(side, offset, data, &hole, err) < 0)
		return -1;
	*data = *data < end ? *data : end;
	return 0;
}

int sides_compare(const void *source, const void *target, uint64_t offset,
	size_t length, struct error *err)
{
	const unsigned char *s = source, *t = target;
	size_t i = 0;

	if (memcmp(s, t, length) == 0)
		return 0;
	while (s[i] == t[i])
		i++;
	return error_set(err, ERR_MISMATCH,
		"target differs from source at offset %" PRIu64, offset + i);
}
