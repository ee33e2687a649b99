/* SPDX-License-Identifier: Apache-2.0 */
/* mountinfo.h - is this directory a mount point, and of what? From /proc/self/mountinfo. */
#ifndef VOLUME_MANAGER_DRIVERS_MOUNTINFO_H
#define VOLUME_MANAGER_DRIVERS_MOUNTINFO_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct mountinfo {
	char point[PATH_MAX];
	char type[64]; /* of the file system: "nfs4" */
	char source[PATH_MAX]; /* "server:/export" */
};

/* The mount of this number in the text of a mountinfo file: 1, or 0 when it is not there. */
int mountinfo_parse(
	const char *text, size_t length, uint64_t id, struct mountinfo *out);

/* What the directory fd, opened by the path point, is the root of. 1 and *out when
 * something is mounted at that path; 0 when it is only a directory. */
int mountinfo_of(int fd, const char *point, struct mountinfo *out, struct error *err);

/* Is it the share "server:/export"? True for a mount that is not NFS: then its place, a
 * directory named after the share, is all that says so. */
bool mountinfo_is_share(const struct mountinfo *mount, const char *share);

#endif
