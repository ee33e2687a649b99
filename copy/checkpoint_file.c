/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/checkpoint_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/text.h"

struct checkpoint_file {
	const char *path;
	char new_path[PATH_MAX]; /* what is written before it is renamed */
	int fd; /* holds the lock; -1: there is no file so far */
};

/* Is fd what path leads to now? */
static bool is_at(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
		a.st_ino == b.st_ino;
}

static int lock(int fd, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID_INPUT,
			"checkpoint '%s' is not a regular file", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(err, ERR_EXISTS,
			"checkpoint '%s' is in use by another copy", path);
	return error_set_errno(err, ERR_IO, "cannot lock checkpoint '%s'", path);
}

/* Whoever had it may have renamed another one over it between open and lock. */
static int open_locked(const char *path, int flags, int *out, struct error *err)
{
	for (;;) {
		AUTO(fd)
		int fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NONBLOCK, 0600);

		if (fd < 0 && errno == ENOENT) {
			*out = -1;
			return 0;
		}
		if (fd < 0)
			return error_set_errno(
				err, ERR_IO, "cannot open checkpoint '%s'", path);
		if (lock(fd, path, err) < 0)
			return -1;
		if (is_at(fd, path)) {
			*out = steal_fd(&fd);
			return 0;
		}
	}
}

/* More than the most is read, to be refused. */
static int read_checkpoint(
	int fd, const char *path, struct checkpoint *found, struct error *err)
{
	AUTO(free) char *text = malloc(CHECKPOINT_TEXT_MAX);
	size_t length = 0;
	ssize_t got = 1;

	if (!text)
		return error_no_memory(err);
	while (got > 0 && length < CHECKPOINT_TEXT_MAX) {
		got = read(fd, text + length, CHECKPOINT_TEXT_MAX - length);
		if (got < 0 && errno != EINTR)
			return error_set_errno(
				err, ERR_IO, "cannot read checkpoint '%s'", path);
		length += got > 0 ? (size_t)got : 0;
	}
	if (checkpoint_from_text(text, length, found, err) < 0)
		return error_context(err, "checkpoint '%s'", path);
	return 0;
}

int checkpoint_file_open(const char *path, struct checkpoint_file **out, bool *exists,
	struct checkpoint *found, struct error *err)
{
	AUTO(checkpoint_file_close)
	struct checkpoint_file *file = calloc(1, sizeof(*file));

	if (!file)
		return error_no_memory(err);
	file->fd = -1;
	file->path = path;
	if (snprintf(file->new_path, sizeof(file->new_path), "%s.new", path) >=
		(int)sizeof(file->new_path))
		return error_set(err, ERR_USAGE, "'%.60s' is too long", path);
	if (open_locked(path, 0, &file->fd, err) < 0)
		return -1;
	if (file->fd >= 0 && read_checkpoint(file->fd, path, found, err) < 0)
		return -1;
	*exists = file->fd >= 0;
	*out = steal(file);
	return 0;
}

static int fill(int fd, const char *path, const char *text, struct error *err)
{
	size_t length = strlen(text);
	ssize_t put = -1;

	if (ftruncate(fd, 0) == 0)
		put = write(fd, text, length);
	if (put >= 0 && (size_t)put < length) {
		errno = ENOSPC;
		put = -1;
	}
	if (put < 0 || fsync(fd) < 0)
		return error_set_errno(
			err, ERR_IO, "cannot write checkpoint '%s'", path);
	return 0;
}

/* The names in its directory are durable. Not every file system lets directories be
 * flushed. */
static int flush_directory(const char *path, struct error *err)
{
	char copy[PATH_MAX];
	AUTO(fd) int fd = -1;

	text_copy(copy, sizeof(copy), path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		return error_set_errno(
			err, ERR_IO, "cannot flush the directory of '%s'", path);
	return 0;
}

/* Never over somebody else's file. */
static int put_in_place(const struct checkpoint_file *file, struct error *err)
{
	int failed;

	if (file->fd >= 0 && is_at(file->fd, file->path))
		failed = rename(file->new_path, file->path);
	else {
		failed = renameat2(AT_FDCWD, file->new_path, AT_FDCWD, file->path,
			RENAME_NOREPLACE);
		if (failed && errno == EINVAL && access(file->path, F_OK) < 0)
			failed = rename(file->new_path, file->path);
	}
	if (failed)
		return error_set_errno(err, errno == EEXIST ? ERR_EXISTS : ERR_IO,
			"cannot put checkpoint '%s' in place", file->path);
	return flush_directory(file->path, err);
}

int checkpoint_file_write(struct checkpoint_file *file,
	const struct checkpoint *checkpoint, struct error *err)
{
	AUTO(free) char *text = NULL;
	AUTO(fd) int fd = -1;
	int before;

	if (checkpoint_to_text(checkpoint, &text, err) < 0 ||
		open_locked(file->new_path, O_CREAT | O_NOFOLLOW, &fd, err) < 0)
		return -1;
	if (fd < 0)
		return error_set(err, ERR_IO,
			"cannot write checkpoint '%s': its directory is gone",
			file->path);
	if (fill(fd, file->new_path, text, err) < 0 || put_in_place(file, err) < 0) {
		unlink(file->new_path);
		return -1;
	}
	before = file->fd;
	file->fd = steal_fd(&fd);
	if (before >= 0)
		close(before);
	return 0;
}

int checkpoint_file_remove(struct checkpoint_file *file, struct error *err)
{
	if (file->fd < 0 || !is_at(file->fd, file->path))
		return 0;
	if (unlink(file->path) < 0)
		return error_set_errno(
			err, ERR_IO, "cannot remove checkpoint '%s'", file->path);
	return flush_directory(file->path, err);
}

void checkpoint_file_close(struct checkpoint_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}
