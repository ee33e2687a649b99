/* SPDX-License-Identifier: Apache-2.0 */
#include "common/suspects.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/log.h"
#include "common/text.h"

#define KEPT_BYTES 4096

/* --- the text: lines */

static bool is_line(const char *line, size_t length, const char *id)
{
	return strlen(id) == length && memcmp(line, id, length) == 0;
}

static unsigned count_lines(const char *text, const char *id)
{
	unsigned count = 0;
	size_t length;

	for (; *text; text += length + (text[length] == '\n')) {
		length = strcspn(text, "\n");
		count += is_line(text, length, id);
	}
	return count;
}

static void remove_lines(char *text, const char *id)
{
	char *kept = text;
	size_t length;

	for (; *text; text += length) {
		length = strcspn(text, "\n");
		bool gone = is_line(text, length, id);

		length += text[length] == '\n';
		if (gone)
			continue;
		memmove(kept, text, length);
		kept += length;
	}
	*kept = '\0';
}

/* --- the file */

/* The end of it; a file that is missing is empty. */
static int read_notes(const char *path, char text[KEPT_BYTES + 1], struct error *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	ssize_t got = 0;

	if (fd < 0 && errno != ENOENT)
		return error_set_errno(err, ERR_IO, "cannot open '%s'", path);
	if (fd >= 0 && fstat(fd, &st) == 0)
		got = pread(fd, text, KEPT_BYTES,
			st.st_size > KEPT_BYTES ? st.st_size - KEPT_BYTES : 0);
	else if (fd >= 0)
		got = -1;
	if (got < 0)
		return error_set_errno(err, ERR_IO, "cannot read '%s'", path);
	text[got] = '\0';
	return 0;
}

static int write_and_sync(int fd, const char *path, const char *text, struct error *err)
{
	ssize_t length = (ssize_t)strlen(text);
	ssize_t written = write(fd, text, (size_t)length);

	if (written >= 0 && written < length) {
		errno = ENOSPC;
		written = -1;
	}
	if (written < 0 || fsync(fd) < 0)
		return error_set_errno(err, ERR_IO, "cannot write '%s'", path);
	return 0;
}

static int sync_directory_of(const char *path, struct error *err)
{
	AUTO(free) char *copy = strdup(path);
	AUTO(fd) int fd = -1;

	if (!copy)
		return error_no_memory(err);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(
			err, ERR_IO, "cannot sync the directory of '%s'", path);
	return 0;
}

static int append(const char *path, const char *id, struct error *err)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
	AUTO(free) char *line = text_format("%s\n", id);
	AUTO(fd) int fd = open(path, flags);
	bool made = fd < 0 && errno == ENOENT;

	if (!line)
		return error_no_memory(err);
	if (made)
		fd = open(path, flags | O_CREAT, 0640);
	if (fd < 0)
		return error_set_errno(err, ERR_IO, "cannot open '%s'", path);
	if (write_and_sync(fd, path, line, err) < 0)
		return -1;
	return made ? sync_directory_of(path, err) : 0;
}

/* A crash of the machine may bring the old text back: notes of a message that will not
 * come again do no harm, so neither the truncation nor the rename is synced. */
static int replace(const char *path, const char *text, struct error *err)
{
	AUTO(free) char *fresh = text_format("%s.new", path);
	AUTO(fd) int fd = -1;

	if (!fresh)
		return error_no_memory(err);
	if (!text[0] && truncate(path, 0) < 0)
		return error_set_errno(err, ERR_IO, "cannot empty '%s'", path);
	if (!text[0])
		return 0;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return error_set_errno(err, ERR_IO, "cannot open '%s'", fresh);
	if (write_and_sync(fd, fresh, text, err) < 0)
		return -1;
	if (rename(fresh, path) < 0)
		return error_set_errno(err, ERR_IO, "cannot replace '%s'", path);
	return 0;
}

/* --- the public calls */

/* From now on nothing is noted: a note that could not be removed would grow in number
 * with each try and make a harmless message look like one that kills. */
static void give_up(struct suspects *suspects, const struct error *why)
{
	suspects->broken = true;
	log_warning(
		"a message that ends the process will not be recognised reason='%s'",
		why->text);
}

static bool is_usable(const struct suspects *suspects)
{
	return suspects->path && !suspects->broken;
}

unsigned suspects_count(struct suspects *suspects, const char *unique_id)
{
	char text[KEPT_BYTES + 1];
	struct error err;

	if (!is_usable(suspects))
		return 0;
	if (read_notes(suspects->path, text, &err) == 0)
		return count_lines(text, unique_id);
	give_up(suspects, &err);
	return 0;
}

void suspects_note(struct suspects *suspects, const char *unique_id)
{
	struct error err;

	if (is_usable(suspects) && append(suspects->path, unique_id, &err) < 0)
		give_up(suspects, &err);
}

void suspects_clear(struct suspects *suspects, const char *unique_id)
{
	char text[KEPT_BYTES + 1];
	struct error err;

	if (!is_usable(suspects))
		return;
	if (read_notes(suspects->path, text, &err) < 0) {
		give_up(suspects, &err);
		return;
	}
	remove_lines(text, unique_id);
	if (replace(suspects->path, text, &err) < 0)
		give_up(suspects, &err);
}
