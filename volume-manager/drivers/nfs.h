/* SPDX-License-Identifier: Apache-2.0 */
/* nfs.h - an nfs backend that is open; between nfs.c and nfs_space.c. */
#ifndef VOLUME_MANAGER_DRIVERS_NFS_H
#define VOLUME_MANAGER_DRIVERS_NFS_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/settings.h"
#include "volume-manager/backend.h"
#include "volume-manager/drivers/nfs_share.h"

struct nfs {
	const struct backend_settings *settings; /* borrowed */
	struct place *places; /* the configured ones, in their order, and one more */
	size_t count; /* of the configured ones */
	struct place *only; /* where unknown objects are looked for; NULL: all */
	struct place *near; /* takes new objects while it has room; or NULL */
};

/* Of all shares that can be used. */
int nfs_stats(void *state, struct backend_stats *out, struct error *err);
/* The share for a new volume of this size, open: near, or the one with the least allocated.
 * ERR_NO_SPACE when there is none. */
int nfs_choose(struct nfs *nfs, uint64_t size, struct place **out, struct error *err);

#endif
