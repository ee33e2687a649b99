/* SPDX-License-Identifier: Apache-2.0 */
/* The files that workers lock: state_path/operations/NAME.lock. A worker removes its own
 * when its work is over; a killed one leaves it behind. NAME.psk beside it is the key of a
 * connection between hosts. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"
#include "volume-manager/manager.h"
#include "volume-manager/process.h"

DEFINE_AUTO(DIR *, closedir)

/* Who waits for the lock sees that the file is not there any more and begins again
 * (work_lock), so it may go whenever nobody holds it. */
static void remove_free(int directory, const char *name)
{
	AUTO(fd) int fd = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(directory, name, 0);
}

static int open_directory(struct manager *manager)
{
	AUTO(free)
	char *path = text_format("%s/operations", manager->settings->state_path);

	return path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* Its own process writes pid and start time into the file once it has the lock. */
bool locks_held(struct manager *manager, const char *name, pid_t *pid)
{
	AUTO(fd) int directory = open_directory(manager);
	AUTO(free) char *file = text_format("%s.lock", name);
	AUTO(fd) int fd = -1;
	long long holder, start;
	char text[64] = "";

	*pid = 0;
	if (directory < 0 || !file)
		return false;
	fd = openat(directory, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return false;
	if (pread(fd, text, sizeof(text) - 1, 0) > 0 &&
		sscanf(text, "%lld %lld", &holder, &start) == 2 &&
		process_is((pid_t)holder, start, process_boot_id()))
		*pid = (pid_t)holder;
	return true;
}

void locks_forget(struct manager *manager, const char *name)
{
	AUTO(fd) int directory = open_directory(manager);
	AUTO(free) char *file = text_format("%s.lock", name);
	AUTO(free) char *key = text_format("%s.psk", name);

	if (directory < 0 || !file || !key)
		return;
	unlinkat(directory, key, 0);
	remove_free(directory, file);
}

void locks_sweep(struct manager *manager)
{
	int directory = open_directory(manager);
	AUTO(closedir) DIR *dir = directory >= 0 ? fdopendir(directory) : NULL;
	const struct dirent *entry;

	if (!dir && directory >= 0)
		close(directory);
	while (dir && (entry = readdir(dir))) {
		const char *ending = strrchr(entry->d_name, '.');

		if (ending && strcmp(ending, ".lock") == 0)
			remove_free(dirfd(dir), entry->d_name);
		/* Who used it has ended with the manager. */
		if (ending && strcmp(ending, ".psk") == 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
}
