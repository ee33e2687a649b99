/* SPDX-License-Identifier: Apache-2.0 */
/* Locks between the workers of a host: files in state_path/operations. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "volume-manager/work.h"

static int make_directory(const char *path, struct error *err)
{
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return error_set_errno(err, ERR_IO, "cannot make directory '%s'", path);
	return 0;
}

/* The file may be removed by its last holder between our open and our lock. */
static bool is_still_there(int fd, const char *path)
{
	struct stat ours, theirs;

	return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 &&
		ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static int try_lock(struct work_lock *lock, struct error *err)
{
	AUTO(fd)
	int fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return error_set_errno(
			err, ERR_IO, "cannot open the lock '%s'", lock->path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK || errno == EINTR)
			return 0;
		return error_set_errno(err, ERR_IO, "cannot lock '%s'", lock->path);
	}
	if (!is_still_there(fd, lock->path))
		return 0;
	lock->fd = steal_fd(&fd);
	return 1;
}

int work_lock(
	struct work *work, const char *name, struct work_lock *out, struct error *err)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	AUTO(free)
	char *directory = text_format("%s/operations", work->settings->state_path);
	bool said = false;
	int locked;

	if (!directory)
		return error_no_memory(err);
	snprintf(out->path, sizeof(out->path), "%s/%s.lock", directory, name);
	if (make_directory(work->settings->state_path, err) < 0 ||
		make_directory(directory, err) < 0)
		return -1;
	while ((locked = try_lock(out, err)) == 0) {
		if (work_stopping(work))
			return work_stop_error(err);
		if (!said)
			log_info(
				"waiting for another worker to end lock=%s", out->path);
		said = true;
		nanosleep(&nap, NULL);
	}
	return locked < 0 ? -1 : 0;
}

int work_lock_object(struct work *work, const char *name_id, struct work_lock *out,
	struct error *err)
{
	char name[UUID_TEXT_SIZE + 8];

	snprintf(name, sizeof(name), "object-%s", name_id);
	/* Rows of others may hold anything. */
	for (char *c = name; *c; c++)
		if (*c == '/')
			*c = '_';
	return work_lock(work, name, out, err);
}

void work_unlock_and_forget(struct work_lock *lock)
{
	if (lock->fd < 0)
		return;
	unlink(lock->path);
	close(lock->fd);
	lock->fd = -1;
}
