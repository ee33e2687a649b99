/* SPDX-License-Identifier: Apache-2.0 */
/* The marker becomes durable before the record, and the record is written from the marker
 * that is there, never from memory. So a crash between the two leaves a marker without a
 * record, which the next one adopts; a record whose marker was never durable, which would
 * close the backend for ever, cannot be.
 */
#include "volume-manager/drivers/marker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/fault.h"
#include "common/text.h"
#include "volume-manager/drivers/rename.h"

#define MARKER ".drover-backend"
#define TEMPORARY_PREFIX MARKER "-"
#define ATTEMPTS 100

DEFINE_AUTO(DIR *, closedir)

/* A directory: open, and as messages call it. */
struct place {
	int fd;
	const char *path;
};

static int name_error(const struct place *place, const char *what, const char *name,
	struct error *err)
{
	return error_set_errno(
		err, ERR_BACKEND, "cannot %s '%s/%s'", what, place->path, name);
}

static int sync_place(const struct place *place, struct error *err)
{
	if (fsync(place->fd) < 0)
		return error_set_errno(
			err, ERR_BACKEND, "cannot flush directory '%s'", place->path);
	return 0;
}

/* 1 and the UUID, 0 when nothing has this name. */
static int read_uuid(const struct place *place, const char *name,
	char out[UUID_TEXT_SIZE], struct error *err)
{
	AUTO(fd)
	int fd =
		openat(place->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char line[UUID_TEXT_SIZE + 1];
	ssize_t got;

	if (fd < 0 && errno == ENOENT)
		return 0;
	got = fd < 0 ? -1 : read(fd, line, sizeof(line));
	if (got < 0)
		return name_error(place, "read", name, err);
	if (got != UUID_TEXT_SIZE || line[UUID_TEXT_SIZE - 1] != '\n')
		return error_set(err, ERR_BACKEND, "'%s/%s' is not a line with a UUID",
			place->path, name);
	line[UUID_TEXT_SIZE - 1] = '\0';
	if (!uuid_is(line))
		return error_set(err, ERR_BACKEND, "'%s/%s' is not a line with a UUID",
			place->path, name);
	memcpy(out, line, UUID_TEXT_SIZE);
	return 1;
}

static int write_temporary(const struct place *place, const char *temporary,
	const char *uuid, struct error *err)
{
	AUTO(fd)
	int fd = openat(place->fd, temporary,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);

	if (fd < 0)
		return name_error(place, "create", temporary, err);
	if (dprintf(fd, "%s\n", uuid) != UUID_TEXT_SIZE)
		return name_error(place, "write", temporary, err);
	if (fsync(fd) < 0)
		return name_error(place, "flush", temporary, err);
	return fault_point("file.open.synced", err);
}

/* 1 given the name, 0 somebody took the temporary file away, see sweep(). */
static int try_publish(const struct place *place, const char *name, const char *uuid,
	struct error *err)
{
	char temporary[sizeof(TEMPORARY_PREFIX) + UUID_TEXT_SIZE] = TEMPORARY_PREFIX;
	int given = -1;

	uuid_make(temporary + strlen(TEMPORARY_PREFIX));
	if (write_temporary(place, temporary, uuid, err) == 0) {
		if (rename_without_replacing(place->fd, temporary, name) == 0)
			return 1;
		if (errno == EEXIST)
			given = 1;
		else if (errno == ENOENT)
			given = 0;
		else
			name_error(place, "create", name, err);
	}
	unlinkat(place->fd, temporary, 0);
	return given;
}

/* A file of this name with a UUID is there, durably: this one, or that of whoever was
 * faster. */
static int publish(const struct place *place, const char *name, const char *uuid,
	struct error *err)
{
	int given = 0;

	for (int i = 0; i < ATTEMPTS && given == 0; i++)
		given = try_publish(place, name, uuid, err);
	if (given < 0)
		return -1;
	if (given == 0)
		return error_set(err, ERR_BACKEND,
			"cannot create '%s/%s': temporary files vanish", place->path,
			name);
	if (fault_point("file.open.renamed", err) < 0)
		return -1;
	return sync_place(place, err);
}

/* Remove what crashes left behind. This may hit somebody who is about to publish: here
 * the name has been given, so that one looks again. */
static void sweep(const struct place *place)
{
	AUTO(fd) int fd = openat(place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(closedir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return;
	fd = -1;
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, TEMPORARY_PREFIX,
			    strlen(TEMPORARY_PREFIX)) == 0 &&
			uuid_is(entry->d_name + strlen(TEMPORARY_PREFIX)))
			unlinkat(place->fd, entry->d_name, 0);
}

static char *records_path(const struct backend_settings *settings)
{
	return text_format("%s/backends", settings->state_path);
}

static int read_record(const struct backend_settings *settings,
	char out[UUID_TEXT_SIZE], struct error *err)
{
	AUTO(free) char *path = records_path(settings);
	AUTO(fd) int fd = -1;

	if (!path)
		return error_no_memory(err);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0
				       : error_set_errno(err, ERR_BACKEND,
						 "cannot open directory '%s'", path);
	const struct place records = { fd, path };
	return read_uuid(&records, settings->name, out, err);
}

static int is_another(
	const struct backend_settings *settings, const char *how, struct error *err)
{
	return error_set(err, ERR_BACKEND,
		"directory '%s' of backend '%s' is not the one used before: its marker"
		" '" MARKER "' %s",
		settings->file_directory, settings->name, how);
}

int marker_verify(
	const struct backend_settings *settings, int directory, struct error *err)
{
	const struct place here = { directory, settings->file_directory };
	char record[UUID_TEXT_SIZE], marker[UUID_TEXT_SIZE];
	int there;

	if (!settings->state_path)
		return 1;
	there = read_record(settings, record, err);
	if (there <= 0)
		return there;
	there = read_uuid(&here, MARKER, marker, err);
	if (there < 0)
		return -1;
	if (there == 0)
		return is_another(
			settings, "is missing (is its file system mounted?)", err);
	if (strcmp(marker, record) != 0)
		return is_another(settings,
			"is a different one (is the right file system mounted?)", err);
	return 1;
}

static int vanished(const struct place *place, const char *name, struct error *err)
{
	return error_set(err, ERR_BACKEND, "'%s/%s' has vanished", place->path, name);
}

/* The UUID of the marker, which is durable then. */
static int take_marker(
	const struct place *place, char out[UUID_TEXT_SIZE], struct error *err)
{
	char made[UUID_TEXT_SIZE];
	int there = read_uuid(place, MARKER, out, err);

	if (there < 0)
		return -1;
	/* Who made it may have crashed before its name was durable. */
	if (there == 1)
		return sync_place(place, err);
	uuid_make(made);
	if (publish(place, MARKER, made, err) < 0)
		return -1;
	there = read_uuid(place, MARKER, out, err);
	return there == 0 ? vanished(place, MARKER, err) : there < 0 ? -1 : 0;
}

/* The directory of the records, made durably when it is missing. */
static int open_records(const struct backend_settings *settings, const char *path,
	int *out, struct error *err)
{
	AUTO(fd) int fd = -1;
	AUTO(fd) int parent = -1;

	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return error_set_errno(
			err, ERR_BACKEND, "cannot make directory '%s'", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(
			err, ERR_BACKEND, "cannot open directory '%s'", path);
	parent = open(settings->state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || fsync(parent) < 0)
		return error_set_errno(err, ERR_BACKEND, "cannot flush directory '%s'",
			settings->state_path);
	*out = steal_fd(&fd);
	return 0;
}

int marker_claim(
	const struct backend_settings *settings, int directory, struct error *err)
{
	const struct place here = { directory, settings->file_directory };
	AUTO(free) char *path = records_path(settings);
	AUTO(fd) int fd = -1;
	char uuid[UUID_TEXT_SIZE];
	int there;

	if (!path)
		return error_no_memory(err);
	if (open_records(settings, path, &fd, err) < 0)
		return -1;
	const struct place records = { fd, path };
	if (take_marker(&here, uuid, err) < 0 ||
		publish(&records, settings->name, uuid, err) < 0)
		return -1;
	sweep(&here);
	sweep(&records);
	/* A record that was there before is of another marker perhaps. */
	there = marker_verify(settings, directory, err);
	if (there < 0)
		return -1;
	return there == 0 ? vanished(&records, settings->name, err) : 0;
}
