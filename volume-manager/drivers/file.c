/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as sparse raw files in one directory.
 *
 * The directory is opened once and all names are looked up in it, so that a file system
 * mounted over it, or unmounted under it, cannot give us another directory's files.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/error.h"
#include "common/fault.h"
#include "volume-manager/backend.h"
#include "volume-manager/drivers/file.h"
#include "volume-manager/drivers/marker.h"
#include "volume-manager/drivers/rename.h"

#define TEMPORARY_PREFIX ".drover-new-"
#define ZEROES (1 << 20)

struct directory {
	const char *path; /* borrowed, as is backend */
	const char *backend;
	mode_t mode; /* of new files */
	bool thick; /* they have all their blocks */
	int fd; /* -1 when not open */
	dev_t dev;
	ino_t ino;
};

static void directory_close(void *state)
{
	struct directory *directory = state;

	if (directory->fd >= 0)
		close(directory->fd);
	free(directory);
}
DEFINE_AUTO(struct directory *, directory_close)

static int name_error(const struct directory *directory, const char *what,
	const char *name, struct error *err)
{
	return error_set_errno(
		err, ERR_BACKEND, "cannot %s '%s/%s'", what, directory->path, name);
}

static int check_name(const char *name, struct error *err)
{
	size_t length = strlen(name);

	if (length == 0 || name[0] == '.' || strchr(name, '/'))
		return error_set(err, ERR_INVALID_INPUT,
			"'%s' cannot be the name of a volume's file", name);
	if (length > NAME_MAX - strlen(TEMPORARY_PREFIX))
		return error_set(err, ERR_INVALID_INPUT,
			"'%s' is too long for the name of a volume's file", name);
	return 0;
}

static int temporary_name(const char *name, char out[NAME_MAX + 1], struct error *err)
{
	if (check_name(name, err) < 0)
		return -1;
	snprintf(out, NAME_MAX + 1, "%s%s", TEMPORARY_PREFIX, name);
	return 0;
}

/* The marker first: a bare mount point is often not writable, and that is not why it
 * cannot be used. */
static int check_usable(
	const struct backend_settings *settings, int fd, struct error *err)
{
	int known = marker_verify(settings, fd, err);

	if (known < 0)
		return -1;
	if (faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		return error_set_errno(err, ERR_BACKEND,
			"directory '%s' of backend '%s' is not writable",
			settings->file_directory, settings->name);
	return known ? 0 : marker_claim(settings, fd, err);
}

int file_open_place(
	const struct file_place *place, int fd, void **state, struct error *err)
{
	AUTO(directory_close)
	struct directory *directory = calloc(1, sizeof(*directory));
	struct stat st;

	if (!directory) {
		close(fd);
		return error_no_memory(err);
	}
	directory->fd = fd;
	directory->path = place->path;
	directory->backend = place->backend;
	directory->mode = place->mode;
	directory->thick = place->thick;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERR_BACKEND,
			"cannot look at directory '%s' of backend '%s'", place->path,
			place->backend);
	directory->dev = st.st_dev;
	directory->ino = st.st_ino;
	*state = steal(directory);
	return 0;
}

void file_set_mode(void *state, mode_t mode)
{
	struct directory *directory = state;

	directory->mode = mode;
}

static int file_open(
	const struct backend_settings *settings, void **state, struct error *err)
{
	const struct file_place place = { .path = settings->file_directory,
		.backend = settings->name,
		.mode = 0600 };
	AUTO(fd) int fd = -1;

	if (!place.path || place.path[0] != '/')
		return error_set(err, ERR_CONFIG,
			"backend '%s' needs an absolute path as file_directory",
			settings->name);
	fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, ERR_BACKEND,
			"cannot open directory '%s' of backend '%s'", place.path,
			settings->name);
	if (check_usable(settings, fd, err) < 0)
		return -1;
	return file_open_place(&place, steal_fd(&fd), state, err);
}

/* Is what was opened still what the path names? */
static int check_directory(const struct directory *directory, struct error *err)
{
	struct stat st;

	if (stat(directory->path, &st) == 0 && st.st_dev == directory->dev &&
		st.st_ino == directory->ino)
		return 0;
	return error_set(err, ERR_BACKEND,
		"directory '%s' of backend '%s' has vanished", directory->path,
		directory->backend);
}

static int sync_directory(const struct directory *directory, struct error *err)
{
	if (fsync(directory->fd) < 0)
		return error_set_errno(err, ERR_BACKEND,
			"cannot flush directory '%s' of backend '%s'", directory->path,
			directory->backend);
	return 0;
}

static int file_stats(void *state, struct backend_stats *out, struct error *err)
{
	const struct directory *directory = state;
	struct statvfs vfs;

	if (check_directory(directory, err) < 0)
		return -1;
	if (fstatvfs(directory->fd, &vfs) < 0)
		return error_set_errno(err, ERR_BACKEND,
			"cannot ask for the space of directory '%s' of backend '%s'",
			directory->path, directory->backend);
	*out = (struct backend_stats) {
		.total_bytes = (uint64_t)vfs.f_blocks * vfs.f_frsize,
		.free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize,
		.thin = !directory->thick,
	};
	if (vfs.f_fsid)
		snprintf(out->location, sizeof(out->location), "fs:%lx", vfs.f_fsid);
	else
		snprintf(out->location, sizeof(out->location), "dev:%u:%u",
			major(directory->dev), minor(directory->dev));
	return 0;
}

/* Add the inode's generation, where the file system has one: birth times come from a
 * coarse clock, and an inode number may be used again within a tick of it. */
static int add_generation(const struct directory *directory, const char *name,
	struct object_id *id, struct error *err)
{
	AUTO(fd)
	int fd = openat(
		directory->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	size_t used = strlen(id->text);
	int generation = 0;

	if (fd < 0)
		return name_error(directory, "open", name, err);
	if (ioctl(fd, FS_IOC_GETVERSION, &generation) == 0)
		snprintf(id->text + used, sizeof(id->text) - used, ",gen:%u",
			(unsigned)generation);
	return 0;
}

static int identify(const struct directory *directory, const char *name,
	const struct statx *stx, struct object_id *id, struct error *err)
{
	int used = snprintf(id->text, sizeof(id->text), "ino:%llu",
		(unsigned long long)stx->stx_ino);

	if (!S_ISREG(stx->stx_mode))
		return error_set(err, ERR_BACKEND, "'%s/%s' is not a regular file",
			directory->path, name);
	if (stx->stx_mask & STATX_BTIME)
		snprintf(id->text + used, sizeof(id->text) - (size_t)used,
			",btime:%lld.%09u", (long long)stx->stx_btime.tv_sec,
			stx->stx_btime.tv_nsec);
	return add_generation(directory, name, id, err);
}

/* 1 and the identity and size, 0 when nothing has this name. */
static int look_up(const struct directory *directory, const char *name,
	struct object_id *id, uint64_t *size, struct error *err)
{
	struct statx stx;

	/* Of a network's file system what the server says, not what was kept here. */
	if (statx(directory->fd, name, AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC,
		    STATX_TYPE | STATX_INO | STATX_SIZE | STATX_BTIME, &stx) < 0)
		return errno == ENOENT ? 0
				       : name_error(directory, "look at", name, err);
	if (identify(directory, name, &stx, id, err) < 0)
		return -1;
	*size = stx.stx_size;
	return 1;
}

static int file_find(void *state, const char *name, const struct object_id *known,
	struct object_id *id, uint64_t *size, struct error *err)
{
	(void)known;
	if (check_name(name, err) < 0 || check_directory(state, err) < 0)
		return -1;
	return look_up(state, name, id, size, err);
}

static int not_found(
	const struct directory *directory, const char *name, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND,
		"'%s/%s' with that identity does not exist", directory->path, name);
}

/* The name must belong to the object of this identity. When it does not, an earlier
 * attempt may have been here, and what it did becomes durable now. */
static int require(const struct directory *directory, const char *name,
	const struct object_id *id, struct error *err)
{
	struct object_id found;
	uint64_t size;
	int there;

	if (check_name(name, err) < 0 || check_directory(directory, err) < 0)
		return -1;
	there = look_up(directory, name, &found, &size, err);
	if (there < 0)
		return -1;
	if (there == 1 && object_id_is_same(&found, id))
		return 0;
	if (sync_directory(directory, err) < 0)
		return -1;
	return not_found(directory, name, err);
}

static int unlink_name(
	const struct directory *directory, const char *name, struct error *err)
{
	if (unlinkat(directory->fd, name, 0) < 0 && errno != ENOENT)
		return name_error(directory, "remove", name, err);
	return 0;
}

static int exists(
	const struct directory *directory, const char *name, struct error *err)
{
	return error_set(
		err, ERR_EXISTS, "'%s/%s' exists already", directory->path, name);
}

/* Storage that cannot reserve is written to. */
static int fill(int fd, uint64_t size)
{
	AUTO(free) char *zeroes = NULL;
	uint64_t at = 0;

	if (fallocate(fd, 0, 0, (off_t)size) == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		return -1;
	zeroes = calloc(1, ZEROES);
	while (zeroes && at < size) {
		size_t want = size - at < ZEROES ? (size_t)(size - at) : ZEROES;
		ssize_t done = pwrite(fd, zeroes, want, (off_t)at);

		if (done < 0 && errno != EINTR)
			return -1;
		at += done > 0 ? (uint64_t)done : 0;
	}
	return zeroes ? 0 : -1;
}

static int make_large(const struct directory *directory, int fd, uint64_t size)
{
	if (ftruncate(fd, (off_t)size) < 0)
		return -1;
	return directory->thick ? fill(fd, size) : 0;
}

/* A file of this size under a temporary name, durable; *id is its identity. */
static int make_temporary(const struct directory *directory, const char *temporary,
	uint64_t size, struct object_id *id, struct error *err)
{
	AUTO(fd) int fd = -1;
	uint64_t found;
	int there;

	if (unlink_name(directory, temporary, err) < 0)
		return -1;
	fd = openat(directory->fd, temporary,
		O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return name_error(directory, "create", temporary, err);
	if (make_large(directory, fd, size) < 0)
		return name_error(directory, "size", temporary, err);
	if (directory->mode != 0600 && fchmod(fd, directory->mode) < 0)
		return name_error(directory, "set the mode of", temporary, err);
	if (fsync(fd) < 0)
		return name_error(directory, "flush", temporary, err);
	there = look_up(directory, temporary, id, &found, err);
	if (there == 0)
		return not_found(directory, temporary, err);
	return there < 0 ? -1 : fault_point("file.create.sized", err);
}

static int finish_create(const struct directory *directory, const char *temporary,
	const char *name, struct error *err)
{
	if (fault_point("file.create.recorded", err) < 0)
		return -1;
	if (rename_without_replacing(directory->fd, temporary, name) < 0)
		return errno == EEXIST ? exists(directory, name, err)
				       : name_error(directory, "create", name, err);
	if (fault_point("file.create.renamed", err) < 0)
		return -1;
	return sync_directory(directory, err);
}

static int file_create(void *state, const char *name, uint64_t size,
	object_record record, void *arg, struct object_id *id, struct error *err)
{
	const struct directory *directory = state;
	char temporary[NAME_MAX + 1];
	struct object_id made;
	uint64_t found;
	int there;

	if (temporary_name(name, temporary, err) < 0 ||
		check_directory(directory, err) < 0)
		return -1;
	there = look_up(directory, name, &made, &found, err);
	if (there != 0)
		return there < 0 ? -1 : exists(directory, name, err);
	if (make_temporary(directory, temporary, size, &made, err) < 0 ||
		(record && record(arg, &made, err) < 0) ||
		finish_create(directory, temporary, name, err) < 0) {
		unlink_name(directory, temporary, NULL);
		return -1;
	}
	*id = made;
	return 0;
}

/* After a crash between link and unlink both names belong to the object. */
static int take_taken_name(const struct directory *directory, const char *name,
	const struct object_id *id, const char *new_name, struct error *err)
{
	struct object_id found;
	uint64_t size;
	int there = look_up(directory, new_name, &found, &size, err);

	if (there < 0)
		return -1;
	if (there == 0 || !object_id_is_same(&found, id))
		return exists(directory, new_name, err);
	return unlink_name(directory, name, err);
}

static int file_rename(void *state, const char *name, const struct object_id *id,
	const char *new_name, struct error *err)
{
	const struct directory *directory = state;

	if (check_name(new_name, err) < 0 || require(directory, name, id, err) < 0)
		return -1;
	if (rename_without_replacing(directory->fd, name, new_name) < 0) {
		if (errno != EEXIST)
			return name_error(directory, "rename", name, err);
		if (take_taken_name(directory, name, id, new_name, err) < 0)
			return -1;
	}
	return sync_directory(directory, err);
}

static int file_remove(
	void *state, const char *name, const struct object_id *id, struct error *err)
{
	const struct directory *directory = state;

	if (require(directory, name, id, err) < 0 ||
		unlink_name(directory, name, err) < 0)
		return -1;
	return sync_directory(directory, err);
}

/* The name becomes durable here for whoever made it and crashed before that. */
static int file_endpoint(void *state, const char *name, const struct object_id *id,
	struct endpoint *out, struct error *err)
{
	const struct directory *directory = state;
	struct endpoint end = { .zero_when_new = true };

	if (require(directory, name, id, err) < 0)
		return -1;
	if (snprintf(end.path, sizeof(end.path), "%s/%s", directory->path, name) >=
		(int)sizeof(end.path))
		return error_set(err, ERR_BACKEND,
			"the path of '%s' in directory '%s' is too long", name,
			directory->path);
	if (sync_directory(directory, err) < 0)
		return -1;
	*out = end;
	return 0;
}

static int file_forget(
	void *state, const char *name, const struct object_id *id, struct error *err)
{
	char temporary[NAME_MAX + 1];

	(void)id;
	if (temporary_name(name, temporary, err) < 0 || check_directory(state, err) < 0)
		return -1;
	if (unlink_name(state, temporary, err) < 0)
		return -1;
	return sync_directory(state, err);
}

static int open_file(const struct endpoint *end, int flags, int *out, struct stat *st,
	struct error *err)
{
	AUTO(fd) int fd = open(end->path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, st) < 0)
		return error_set_errno(err, ERR_BACKEND, "cannot open '%s'", end->path);
	if (!S_ISREG(st->st_mode))
		return error_set(
			err, ERR_BACKEND, "'%s' is not a regular file", end->path);
	*out = steal_fd(&fd);
	return 0;
}

/* ioctl_ficlone(2): these say that this file system, or this pair, cannot. */
static bool cannot_clone(int errnum)
{
	return errnum == EOPNOTSUPP || errnum == EXDEV || errnum == EINVAL ||
		errnum == ENOTTY || errnum == ENOSYS;
}

static int file_clone(void *state, const struct endpoint *source,
	const struct endpoint *target, struct error *err)
{
	AUTO(fd) int from = -1;
	AUTO(fd) int to = -1;
	struct stat from_st, to_st;

	if (open_file(source, O_RDONLY, &from, &from_st, err) < 0 ||
		open_file(target, O_RDWR, &to, &to_st, err) < 0)
		return -1;
	if (from_st.st_dev != to_st.st_dev || from_st.st_size > to_st.st_size)
		return 0;
	if (ioctl(to, FICLONE, from) < 0)
		return cannot_clone(errno)
			? 0
			: error_set_errno(err, ERR_BACKEND, "cannot clone '%s' to '%s'",
				  source->path, target->path);
	if (fsync(to) < 0)
		return error_set_errno(
			err, ERR_BACKEND, "cannot flush '%s'", target->path);
	return 1;
}

static int file_grow(void *state, const char *name, const struct object_id *id,
	uint64_t size, struct error *err)
{
	const struct directory *directory = state;
	AUTO(fd) int fd = -1;
	struct stat st;

	if (require(directory, name, id, err) < 0)
		return -1;
	fd = openat(directory->fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return name_error(directory, "open", name, err);
	if ((uint64_t)st.st_size < size && ftruncate(fd, (off_t)size) < 0)
		return name_error(directory, "extend", name, err);
	/* What is reserved for a thick one is a promise where the storage can make it. */
	if (directory->thick && fallocate(fd, 0, 0, (off_t)size) < 0 &&
		errno != EOPNOTSUPP)
		return name_error(directory, "reserve the space of", name, err);
	if (fault_point("file.grow.sized", err) < 0)
		return -1;
	/* A killed attempt may have sized it: durable is what matters. */
	if (fsync(fd) < 0)
		return name_error(directory, "flush", name, err);
	return 0;
}

const struct backend_driver file_driver = {
	.name = "file",
	.open = file_open,
	.close = directory_close,
	.stats = file_stats,
	.create = file_create,
	.find = file_find,
	.rename = file_rename,
	.remove = file_remove,
	.endpoint = file_endpoint,
	.forget = file_forget,
	.clone = file_clone,
	.grow = file_grow,
};
