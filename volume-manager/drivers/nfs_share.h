/* SPDX-License-Identifier: Apache-2.0 */
/* nfs_share.h - one share of an nfs backend: mounted, checked, and then a directory of
 * driver file.
 */
#ifndef VOLUME_MANAGER_DRIVERS_NFS_SHARE_H
#define VOLUME_MANAGER_DRIVERS_NFS_SHARE_H

#include <limits.h>
#include <stdbool.h>

#include "common/error.h"
#include "common/md5.h"
#include "common/nfs_shares.h"
#include "common/settings.h"

struct place {
	struct nfs_share share; /* name empty: only its digest is known */
	char digest[MD5_TEXT_SIZE]; /* of the share's name: first part of identities */
	char point[PATH_MAX]; /* where it is mounted */
	bool configured; /* may be mounted by us */
	void *files; /* state of driver file; NULL: not opened yet */
	int fd; /* the directory, while files is not NULL */
};

/* Mount it when it is not. */
int place_mount(const struct backend_settings *settings, struct place *place,
	struct error *err);
/* Open it, mounting it first when need be. A directory that is no mount point, or one where
 * another share is mounted, is never used. */
int place_open(const struct backend_settings *settings, struct place *place,
	struct error *err);
void place_close(struct place *place);

/* The mode of new volumes, by nas_secure_file_permissions; place is the first share. */
int place_mode(const struct backend_settings *settings, const struct place *place,
	mode_t *out, struct error *err);

/* The bytes of all volumes there, holes too: what Cinder calls allocated. */
int place_allocated(const struct place *place, uint64_t *bytes, struct error *err);

/* ERR_INVALID_VOLUME when the newest data of the volume's file name is in a snapshot's file:
 * Cinder's ".info" beside it says so. */
int place_check_newest(const struct place *place, const char *name, struct error *err);

#endif
