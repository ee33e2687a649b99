/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/drivers/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/auto.h"
#include "common/text.h"

#define PATH "/proc/self/mountinfo"
#define TEXT_MAX (64 << 20)

/* Fields of proc_pid_mountinfo(5): 0 the mount's number, 4 its point, 6... optional ones,
 * "-", then type and source. */
#define POINT_FIELD 4
#define FIRST_OPTIONAL 6

/* "\040" and the like; cut when it does not fit. */
static void unescape(const char *from, size_t size, char *out, size_t out_size)
{
	size_t used = 0;

	while (size && used < out_size - 1) {
		size_t taken = 1;
		char c = *from;

		if (size >= 4 && from[0] == '\\' && from[1] >= '0' && from[1] <= '3' &&
			from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
			from[3] <= '7') {
			c = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 |
				(from[3] - '0'));
			taken = 4;
		}
		out[used++] = c;
		from += taken;
		size -= taken;
	}
	out[used] = '\0';
}

static bool read_line(
	const char *line, size_t size, const char *wanted, struct mountinfo *out)
{
	const char *end = line + size;
	unsigned field = 0, behind = 0; /* fields behind the "-" */

	while (line < end) {
		const char *space = memchr(line, ' ', (size_t)(end - line));
		size_t length = (size_t)((space ? space : end) - line);

		if (field == 0 &&
			(strlen(wanted) != length || memcmp(line, wanted, length) != 0))
			return false;
		if (field == POINT_FIELD)
			unescape(line, length, out->point, sizeof(out->point));
		if (behind == 1)
			unescape(line, length, out->type, sizeof(out->type));
		if (behind == 2)
			unescape(line, length, out->source, sizeof(out->source));
		if (behind)
			behind++;
		else if (field >= FIRST_OPTIONAL && length == 1 && *line == '-')
			behind = 1;
		field++;
		line += length + 1;
	}
	return behind > 2;
}

int mountinfo_parse(const char *text, size_t length, uint64_t id, struct mountinfo *out)
{
	const char *wanted = NUM(id);

	memset(out, 0, sizeof(*out));
	while (length) {
		const char *end = memchr(text, '\n', length);
		size_t size = end ? (size_t)(end - text) : length;

		if (read_line(text, size, wanted, out))
			return 1;
		size += end ? 1 : 0;
		text += size;
		length -= size;
	}
	return 0;
}

/* Files in /proc have no size. */
static int read_all(char **out, size_t *length, struct error *err)
{
	AUTO(fd) int fd = open(PATH, O_RDONLY | O_CLOEXEC);
	AUTO(free) char *text = NULL;
	size_t size = 0, used = 0;
	ssize_t got = fd < 0 ? -1 : 1;

	while (got > 0) {
		if (used == size) {
			size_t more = size ? 2 * size : 65536;
			char *larger = more > TEXT_MAX ? NULL : realloc(text, more);

			if (!larger)
				return error_no_memory(err);
			text = larger;
			size = more;
		}
		got = read(fd, text + used, size - used);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			used += (size_t)got;
	}
	if (got < 0)
		return error_set_errno(err, ERR_BACKEND, "cannot read " PATH);
	*out = steal(text);
	*length = used;
	return 0;
}

int mountinfo_of(int fd, const char *point, struct mountinfo *out, struct error *err)
{
	AUTO(free) char *text = NULL;
	size_t length = 0;
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0)
		return error_set_errno(
			err, ERR_BACKEND, "cannot find the mount of '%s'", point);
	if (!(stx.stx_mask & STATX_MNT_ID))
		return error_set(err, ERR_BACKEND,
			"cannot find the mount of '%s': the kernel is too old (5.8)",
			point);
	if (read_all(&text, &length, err) < 0)
		return -1;
	if (!mountinfo_parse(text, length, stx.stx_mnt_id, out))
		return 0;
	return strcmp(out->point, point) == 0;
}

/* One byte of a share's name without the slashes that make no difference. */
static const char *next(const char *at)
{
	while (at[0] == '/' && at[1] == '/')
		at++;
	return at[0] == '/' && !at[1] ? at + 1 : at;
}

static bool is_same(const char *a, const char *b)
{
	for (;; a++, b++) {
		a = next(a);
		b = next(b);
		if (*a != *b)
			return false;
		if (!*a)
			return true;
	}
}

bool mountinfo_is_share(const struct mountinfo *mount, const char *share)
{
	if (strcmp(mount->type, "nfs") != 0 && strcmp(mount->type, "nfs4") != 0)
		return true;
	return is_same(mount->source, share);
}
