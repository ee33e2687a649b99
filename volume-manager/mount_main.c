/* SPDX-License-Identifier: Apache-2.0 */
/* drover-mount - mount the shares that the configuration names. For root, or through sudo
 * for a daemon that is not root: a caller can only ask for what the configuration says.
 *
 * Nothing is mounted below a directory that anybody but root may change: with a symbolic
 * link there, a share would come to lie over /etc. No log file is written, for that reason
 * too.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/nfs_shares.h"
#include "common/settings.h"
#include "volume-manager/backend.h"
#include "volume-manager/drivers/mount.h"
#include "volume-manager/drivers/nfs_share.h"

#define EXIT_USAGE 2

struct arguments {
	const char *config_files[16];
	size_t config_file_count;
	const char *backend, *share; /* NULL: all */
};

static int usage(FILE *out)
{
	fputs("usage: drover-mount [--config-file FILE]... mount [BACKEND SHARE]\n"
	      "Mounts the share of the backend, or all shares of all nfs backends.\n",
		out);
	return out == stdout ? 0 : EXIT_USAGE;
}

/* -1 to go on, or an exit status. Options stand before the verb only. */
static int read_arguments(int argc, char **argv, struct arguments *out)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--help") == 0)
			return usage(stdout);
		if (strcmp(argv[i], "--version") == 0) {
			puts("drover-mount " PACKAGE_VERSION);
			return 0;
		}
		if (strcmp(argv[i], "--config-file") != 0 || !argv[i + 1] ||
			out->config_file_count == ARRAY_SIZE(out->config_files))
			return usage(stderr);
		out->config_files[out->config_file_count++] = argv[++i];
	}
	if (i >= argc || strcmp(argv[i], "mount") != 0)
		return usage(stderr);
	if (argc != i + 1 && argc != i + 3)
		return usage(stderr);
	out->backend = argv[i + 1];
	out->share = out->backend ? argv[i + 2] : NULL;
	return -1;
}

static int check_owner(const char *path, struct error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0
				       : error_set_errno(err, ERR_BACKEND,
						 "cannot look at '%s'", path);
	if (S_ISDIR(st.st_mode) && st.st_uid == 0 && !(st.st_mode & 022))
		return 0;
	return error_set(err, ERR_CONFIG,
		"'%s' is not a directory that only root may change: shares are not"
		" mounted below it; choose another nfs_mount_point_base",
		path);
}

/* Every directory on the way to the mount point, and that itself unless it is mounted. */
static int check_way(const char *point, struct error *err)
{
	char path[PATH_MAX];

	if (check_owner("/", err) < 0)
		return -1;
	for (size_t i = 1; point[i]; i++) {
		if (point[i] != '/')
			continue;
		memcpy(path, point, i);
		path[i] = '\0';
		if (check_owner(path, err) < 0)
			return -1;
	}
	return 0;
}

static int mount_one(const struct backend_settings *settings,
	const struct nfs_share *share, struct error *err)
{
	struct place place = { .share = *share, .configured = true };

	if (nfs_mount_point(settings, share->name, place.point, err) < 0 ||
		check_way(place.point, err) < 0)
		return -1;
	return place_mount(settings, &place, err);
}

/* Each share that was asked for; -1 when one of them is not mounted. *found counts them. */
static int mount_backend(const struct backend_settings *settings,
	const struct arguments *arguments, unsigned *found)
{
	AUTO(nfs_shares_clear) struct nfs_shares shares = { 0 };
	struct error err;
	int status = 0;

	if (strcmp(settings->volume_driver, "nfs") != 0 ||
		(arguments->backend && strcmp(arguments->backend, settings->name) != 0))
		return 0;
	if (nfs_shares_load(settings, &shares, &err) < 0) {
		log_error("%s", err.text);
		return -1;
	}
	for (size_t i = 0; i < shares.count; i++) {
		if (arguments->share &&
			strcmp(arguments->share, shares.list[i].name) != 0)
			continue;
		++*found;
		if (mount_one(settings, &shares.list[i], &err) == 0)
			continue;
		log_error("%s", err.text);
		status = -1;
	}
	return status;
}

static int mount_all(const struct backend_settings *backends, size_t count,
	const struct arguments *arguments)
{
	unsigned found = 0;
	int status = 0;

	for (size_t i = 0; i < count; i++)
		if (mount_backend(&backends[i], arguments, &found) < 0)
			status = 1;
	if (arguments->share && found == 0 && status == 0) {
		log_error("backend '%s' has no share '%s'", arguments->backend,
			arguments->share);
		status = 1;
	}
	return status;
}

int main(int argc, char **argv)
{
	AUTO(settings_free) struct settings *settings = NULL;
	struct backend_settings *backends = NULL;
	struct arguments arguments = { 0 };
	size_t count = 0;
	struct error err;
	int status = read_arguments(argc, argv, &arguments);

	if (status >= 0)
		return status;
	log_open("drover-mount", LOG_LEVEL_ERROR);
	if (geteuid() != 0) {
		log_error("only root can mount");
		return 1;
	}
	/* Mount points are for everybody to go through. */
	umask(022);
	if (settings_load(arguments.config_files, arguments.config_file_count,
		    &settings, &err) < 0 ||
		settings_backends(settings, backend_driver_names(), &backends, &count,
			&err) < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	status = mount_all(backends, count, &arguments);
	backend_settings_free(backends, count);
	return status;
}
