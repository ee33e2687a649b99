/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/drivers/nfs_share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "common/text.h"
#include "volume-manager/backend.h"
#include "volume-manager/drivers/file.h"
#include "volume-manager/drivers/mount.h"
#include "volume-manager/drivers/mountinfo.h"

DEFINE_AUTO(DIR *, closedir)

/* Cinder's: in a share where volumes have tight modes. */
#define INDICATOR ".cinderSecureEnvIndicator"
#define INFO_MAX 65536
/* Another process is mounting it. */
#define LOCK_SECONDS 90.0

/* ---- opening ---- */

static int open_directory(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* 1 and *fd when the right thing is mounted there, 0 when nothing is; then *fd is the bare
 * directory, or -1. */
static int look(const struct place *place, int *fd, struct error *err)
{
	AUTO(free) struct mountinfo *mount = malloc(sizeof(*mount));
	int there;

	if (!mount)
		return error_no_memory(err);
	*fd = open_directory(place->point);
	if (*fd < 0)
		return errno == ENOENT ? 0
				       : error_set_errno(err, ERR_BACKEND,
						 "cannot open '%s' of share '%s'",
						 place->point, place->share.name);
	there = mountinfo_of(*fd, place->point, mount, err);
	if (there <= 0)
		return there;
	if (place->share.name[0] && !mountinfo_is_share(mount, place->share.name))
		return error_set(err, ERR_BACKEND,
			"at '%s' there is '%s', not share '%s'", place->point,
			mount->source, place->share.name);
	return 1;
}

/* One process of a host mounts, the others wait for it. directory: the bare one. */
static int lock(int directory, const struct place *place, struct error *err)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	double until = clock_seconds() + LOCK_SECONDS;

	while (flock(directory, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_set_errno(
				err, ERR_BACKEND, "cannot lock '%s'", place->point);
		if (clock_seconds() > until)
			return error_set(err, ERR_TIMEOUT,
				"share '%s' is being mounted by another process",
				place->share.name);
		nanosleep(&nap, NULL);
	}
	return 0;
}

static int not_mounted(const struct place *place, struct error *err)
{
	return error_set(err, ERR_BACKEND, "share '%s' is not mounted at '%s'",
		place->share.name, place->point);
}

/* bare: the directory without its mount. *fd is the mounted one in the end. */
static int mount_locked(const struct backend_settings *settings, struct place *place,
	int bare, int *fd, struct error *err)
{
	struct error why;
	int there;

	if (bare >= 0 && lock(bare, place, err) < 0)
		return -1;
	there = look(place, fd, err);
	if (there)
		return there < 0 ? -1 : 0;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (mount_share(settings, &place->share, place->point, &why) < 0)
		log_debug("%s", why.text);
	else
		error_clear(&why);
	there = look(place, fd, err);
	if (there)
		return there < 0 ? -1 : 0;
	if (why.code == ERR_NONE)
		return not_mounted(place, err);
	if (err)
		*err = why;
	return -1;
}

static int open_mounted(const struct backend_settings *settings, struct place *place,
	int *out, struct error *err)
{
	AUTO(fd) int bare = -1;
	AUTO(fd) int fd = -1;
	int there = look(place, &fd, err);

	if (there < 0)
		return -1;
	if (there == 0 && !place->configured)
		return not_mounted(place, err);
	if (there == 0 && fd < 0) {
		/* Where only the helper may make it there is nothing to lock. */
		if (mount_make_point(place->point, err) < 0 &&
			(geteuid() == 0 || !settings->mount_helper))
			return error_context(err, "share '%s'", place->share.name);
		fd = open_directory(place->point);
	}
	if (there == 0) {
		bare = steal_fd(&fd);
		if (mount_locked(settings, place, bare, &fd, err) < 0)
			return -1;
		log_info("share mounted backend=%s share=%s at=%s", settings->name,
			place->share.name, place->point);
	}
	*out = steal_fd(&fd);
	return 0;
}

int place_mount(
	const struct backend_settings *settings, struct place *place, struct error *err)
{
	AUTO(fd) int fd = -1;

	return open_mounted(settings, place, &fd, err);
}

int place_open(
	const struct backend_settings *settings, struct place *place, struct error *err)
{
	const struct file_place files = { .path = place->point,
		.backend = settings->name,
		.mode = 0660,
		.thick = !settings->nfs_sparsed_volumes };
	AUTO(fd) int fd = -1;

	if (place->files)
		return 0;
	if (open_mounted(settings, place, &fd, err) < 0)
		return error_context(err, "backend '%s'", settings->name);
	if (faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		return error_set_errno(err, ERR_BACKEND,
			"share '%s' of backend '%s' is not writable at '%s'",
			place->share.name, settings->name, place->point);
	place->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (place->fd < 0)
		return error_set_errno(
			err, ERR_BACKEND, "cannot open '%s' again", place->point);
	if (file_open_place(&files, steal_fd(&fd), &place->files, err) == 0)
		return 0;
	close(place->fd);
	return -1;
}

void place_close(struct place *place)
{
	if (!place->files)
		return;
	file_driver.close(place->files);
	place->files = NULL;
	close(place->fd);
}

/* ---- what is there ---- */

/* By the directory that was checked, never by its path: somebody may unmount it. */
static DIR *list(const struct place *place, struct error *err)
{
	AUTO(fd)
	int fd = openat(place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		error_set_errno(err, ERR_BACKEND, "cannot list '%s'", place->point);
	else
		fd = -1;
	return dir;
}

static bool has_indicator(int fd)
{
	struct stat st;

	return fstatat(fd, INDICATOR, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(st.st_mode);
}

/* Nothing but hidden names: no volume was ever made there. 1, 0, -1. */
static int is_new(const struct place *place, struct error *err)
{
	AUTO(closedir) DIR *dir = list(place, err);
	struct dirent *entry;
	int found = 0;

	if (!dir)
		return -1;
	while (!found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.' &&
			strcmp(entry->d_name, "lost+found") != 0;
	return !found;
}

/* As Cinder does when it starts without volumes. A share that cannot be written to so is an
 * open one. */
static bool make_indicator(const struct place *place)
{
	AUTO(fd)
	int fd = openat(place->fd, INDICATOR,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);

	if (fd < 0 && errno == EEXIST)
		return true;
	if (fd < 0 ||
		dprintf(fd,
			"Volumes here have the mode 660.\n"
			"Do not delete this file.\n") < 0) {
		log_warning("cannot make '%s/%s': %s", place->point, INDICATOR,
			strerror(errno));
		return false;
	}
	log_info("new volumes get the mode 660, as '%s/%s' says now", place->point,
		INDICATOR);
	return true;
}

static int is_secure(const struct place *place, bool *out, struct error *err)
{
	int new;

	*out = has_indicator(place->fd);
	if (*out)
		return 0;
	new = is_new(place, err);
	if (new < 0)
		return -1;
	/* Whoever has put the first volume there had made the indicator before. */
	*out = new ? make_indicator(place) : has_indicator(place->fd);
	return 0;
}

int place_mode(const struct backend_settings *settings, const struct place *place,
	mode_t *out, struct error *err)
{
	const char *wanted = settings->nas_secure_file_permissions;
	bool secure = wanted && strcasecmp(wanted, "true") == 0;

	if ((!wanted || strcasecmp(wanted, "auto") == 0) &&
		is_secure(place, &secure, err) < 0)
		return -1;
	*out = secure ? 0660 : 0666;
	return 0;
}

int place_allocated(const struct place *place, uint64_t *bytes, struct error *err)
{
	AUTO(closedir) DIR *dir = list(place, err);
	struct dirent *entry;
	struct stat st;

	if (!dir)
		return -1;
	*bytes = 0;
	while ((entry = readdir(dir)))
		if (fnmatch("*snapshot*", entry->d_name, 0) != 0 &&
			fstatat(place->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
				0 &&
			S_ISREG(st.st_mode))
			*bytes += (uint64_t)st.st_size;
	return 0;
}

/* ---- Cinder's snapshots ---- */

/* 1 and the text, 0 when there is no such file. */
static int read_info(const struct place *place, const char *name,
	char text[INFO_MAX + 1], size_t *length, struct error *err)
{
	AUTO(free) char *info = text_format("%s.info", name);
	AUTO(fd) int fd = -1;
	ssize_t got = 1;

	if (!info)
		return error_no_memory(err);
	fd = openat(place->fd, info, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	*length = 0;
	while (fd >= 0 && got > 0 && *length <= INFO_MAX) {
		got = read(fd, text + *length, INFO_MAX + 1 - *length);
		*length += got > 0 ? (size_t)got : 0;
	}
	if (fd < 0 || got < 0)
		return error_set_errno(
			err, ERR_BACKEND, "cannot read '%s/%s'", place->point, info);
	if (*length > INFO_MAX)
		return error_set(
			err, ERR_BACKEND, "'%s/%s' is too large", place->point, info);
	return 1;
}

int place_check_newest(const struct place *place, const char *name, struct error *err)
{
	AUTO(free) char *text = malloc(INFO_MAX + 1);
	AUTO(json_object_put) struct json_object *info = NULL;
	const char *active = NULL;
	size_t length = 0;
	int there;

	if (!text)
		return error_no_memory(err);
	there = read_info(place, name, text, &length, err);
	if (there <= 0 || length == 0)
		return there < 0 ? -1 : 0;
	if (json_parse(text, length, &info, err) < 0 ||
		json_get_string(info, "active", &active, err) < 0)
		return error_context(err, "'%s/%s.info'", place->point, name);
	if (strcmp(active, name) == 0)
		return 0;
	return error_set(err, ERR_INVALID_VOLUME,
		"the newest data of '%s' is in the qcow2 file '%.200s' of one of Cinder's"
		" snapshots; only raw volumes are understood",
		name, active);
}
