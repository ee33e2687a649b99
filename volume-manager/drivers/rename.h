/* SPDX-License-Identifier: Apache-2.0 */
/* rename.h - a name that is given once, for drivers that keep files. */
#ifndef VOLUME_MANAGER_DRIVERS_RENAME_H
#define VOLUME_MANAGER_DRIVERS_RENAME_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* In the directory fd; -1 and errno, EEXIST when there is a to already. NFS and some
 * others cannot rename without replacing; a second link can stand in. */
static inline int rename_without_replacing(int fd, const char *from, const char *to)
{
	if (renameat2(fd, from, fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (linkat(fd, from, fd, to, 0) < 0)
		return -1;
	return unlinkat(fd, from, 0);
}

#endif
