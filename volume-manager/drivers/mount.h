/* SPDX-License-Identifier: Apache-2.0 */
/* mount.h - mount a share of a backend: by mount(8) as root, else by drover-mount.
 *
 * Blocking, but each attempt for a bounded time. Programs are run by argument vectors, with
 * an environment of their own.
 */
#ifndef VOLUME_MANAGER_DRIVERS_MOUNT_H
#define VOLUME_MANAGER_DRIVERS_MOUNT_H

#include "common/error.h"
#include "common/nfs_shares.h"
#include "common/settings.h"

/* Run argv (ends with NULL) for at most so many seconds; what it says goes into *err when it
 * fails. ERR_TIMEOUT: it was killed. */
int mount_run(const char *const *argv, double seconds, struct error *err);

/* Make the directory point, which exists when this returns 0, and those above it. */
int mount_make_point(const char *point, struct error *err);

/* Mount it on the directory point. Whether it is mounted then is for the caller to look at:
 * somebody else may have been faster, and that is success too. */
int mount_share(const struct backend_settings *settings, const struct nfs_share *share,
	const char *point, struct error *err);

#endif
