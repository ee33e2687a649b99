/* SPDX-License-Identifier: Apache-2.0 */
/* nfs_shares.h - the NFS shares of a backend, named and mounted where Cinder, os-brick and
 * Nova have them.
 *
 * Only the configuration is read here, never a share.
 */
#ifndef COMMON_NFS_SHARES_H
#define COMMON_NFS_SHARES_H

#include <limits.h>
#include <stddef.h>

#include "common/auto.h"
#include "common/error.h"
#include "common/settings.h"

#define NFS_SHARE_SIZE 256 /* provider_location has 255 characters */
#define NFS_OPTIONS_SIZE 1024
#define NFS_SHARES_MAX 1000

struct nfs_share {
	char name
		[NFS_SHARE_SIZE]; /* "server:/path": the provider_location of its volumes */
	char options
		[NFS_OPTIONS_SIZE]; /* what stands behind it: "-o ro,..."; may be empty */
};

struct nfs_shares {
	struct nfs_share *list; /* in the order of the file, each name once */
	size_t count;
};

/* Is it "server:/path", without control characters and fit for an argument of mount(8)? */
bool nfs_share_is_safe(const char *name);

/* A file of shares: blank lines and lines that begin with '#' are passed over, "\040" is a
 * space, options stand behind the first space, the last line of a share counts. Lines that
 * name no share are passed over with a warning, as Cinder does. where names the file.
 * ERR_CONFIG when there are too many. */
int nfs_shares_parse(const char *where, const char *text, size_t length,
	struct nfs_shares *out, struct error *err);
/* Those of a backend: nas_host and nas_share_path, or what is in nfs_shares_config. At
 * least one, or ERR_CONFIG. Reads the file anew, so that a changed one counts. */
int nfs_shares_load(const struct backend_settings *settings, struct nfs_shares *out,
	struct error *err);
void nfs_shares_clear(struct nfs_shares *shares);
static inline __attribute__((unused)) void auto_nfs_shares_clear(
	struct nfs_shares *shares)
{
	nfs_shares_clear(shares);
}
/* NULL when it is none of them. */
const struct nfs_share *nfs_shares_find(
	const struct nfs_shares *shares, const char *name);

/* nfs_mount_point_base without symbolic links, which connection infos carry. */
int nfs_mount_base(
	const struct backend_settings *settings, char out[PATH_MAX], struct error *err);
/* Where the share is mounted: the base and the MD5 of its name in hex. */
int nfs_mount_point(const struct backend_settings *settings, const char *share,
	char out[PATH_MAX], struct error *err);

/* The list for mount -o, empty when there is none: nas_mount_options or nfs_mount_options,
 * and the share's own. ERR_CONFIG for what is no list of options. */
int nfs_mount_options(const struct backend_settings *settings,
	const struct nfs_share *share, char out[2 * NFS_OPTIONS_SIZE],
	struct error *err);

#endif
