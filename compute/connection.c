/* SPDX-License-Identifier: Apache-2.0 */
/* What a volume manager tells a host about a volume, and what this host makes of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/text.h"
#include "common/url.h"
#include "compute/location.h"
#include "volume-manager/drivers/nfs_share.h"

#define PORT_MAX 65535

/* ---- paths ---- */

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

/* Absolute, without "..": what a message names must not wander. */
static int check_path(const char *path, struct error *err)
{
	size_t length = strlen(path);

	if (path[0] != '/' || length >= PATH_MAX || has_control(path) ||
		strstr(path, "/../") ||
		(length >= 3 && strcmp(path + length - 3, "/..") == 0))
		return error_set(err, ERR_INVALID_INPUT,
			"'%.200s' is no path of a volume", path);
	return 0;
}

/* A file or a block device that is there. */
static int of_path(const char *path, struct location *out, struct error *err)
{
	struct stat st;

	if (check_path(path, err) < 0)
		return -1;
	if (stat(path, &st) < 0)
		return error_set_errno(
			err, ERR_BACKEND, "cannot reach '%s' on this host", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, ERR_BACKEND,
			"'%s' is neither a file nor a block device", path);
	out->kind = S_ISREG(st.st_mode) ? LOCATION_FILE : LOCATION_BLOCK;
	snprintf(out->path, sizeof(out->path), "%s", path);
	return 0;
}

static int of_local(struct json_object *data, struct location *out, struct error *err)
{
	const char *path;

	if (json_get_string(data, "device_path", &path, err) < 0)
		return -1;
	return of_path(path, out, err);
}

/* ---- NFS ---- */

/* As a backend of driver nfs has it mounted: the same name below the base, so that all who
 * use the share on this host use one mount. */
static int mount_it(const struct settings *settings, const char *share,
	const char *options, char point[PATH_MAX], struct error *err)
{
	static char empty[] = "", name[] = "compute";
	const struct backend_settings backend = {
		.name = name,
		.nfs_mount_point_base = settings->nfs_mount_point_base,
		.nfs_mount_attempts = 1,
		.nas_host = empty,
		.nas_share_path = empty,
		.mount_helper = settings->mount_helper,
	};
	AUTO(free) struct place *place = calloc(1, sizeof(*place));

	if (!place)
		return error_no_memory(err);
	place->configured = true;
	text_copy(place->share.name, sizeof(place->share.name), share);
	text_copy(place->share.options, sizeof(place->share.options), options);
	if (nfs_mount_point(&backend, share, place->point, err) < 0 ||
		place_mount(&backend, place, err) < 0)
		return -1;
	memcpy(point, place->point, PATH_MAX);
	return 0;
}

static int of_nfs(const struct settings *settings, struct json_object *data,
	struct location *out, struct error *err)
{
	const char *share, *name, *options, *format;
	char point[PATH_MAX], path[PATH_MAX + 256];

	if (json_get_string(data, "export", &share, err) < 0 ||
		json_get_string(data, "name", &name, err) < 0 ||
		json_get_string_or(data, "options", "", &options, err) < 0 ||
		json_get_string_or(data, "format", "raw", &format, err) < 0)
		return -1;
	if (!nfs_share_is_safe(share) || !name_is_safe(name) ||
		strlen(share) >= NFS_SHARE_SIZE ||
		strlen(options) >= NFS_OPTIONS_SIZE || has_control(options))
		return error_set(err, ERR_INVALID_INPUT,
			"'%.200s' and '%.200s' are no share and volume", share, name);
	if (strcmp(format, "raw") != 0)
		return error_set(err, ERR_NOT_SUPPORTED,
			"the volume's format is '%.32s', not raw", format);
	if (mount_it(settings, share, options, point, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", point, name);
	return of_path(path, out, err);
}

/* ---- NBD ---- */

static bool is_loopback(const char *host)
{
	return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "::1") == 0 ||
		strcmp(host, "localhost") == 0;
}

static bool is_host(const char *host)
{
	return host[0] && strlen(host) < sizeof(((struct location *)0)->host) &&
		host[strspn(host,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			"0123456789.:-_")] == '\0';
}

/* libvirt takes certificates from its own configuration, for all disks; keys of one export
 * each it cannot take. */
static int of_nbd(struct json_object *data, struct location *out, struct error *err)
{
	const char *uri, *host, *name, *tls;
	int64_t port;

	if (json_get_string_or(data, "uri", "nbd://", &uri, err) < 0 ||
		json_get_string(data, "address", &host, err) < 0 ||
		json_get_int(data, "port", 1, PORT_MAX, &port, err) < 0 ||
		json_get_string(data, "export", &name, err) < 0 ||
		json_get_string_or(data, "tls", "", &tls, err) < 0)
		return -1;
	out->tls = strncmp(uri, "nbds:", 5) == 0 || strcmp(tls, "certificates") == 0;
	if (strstr(uri, "tls-psk-file") || strcmp(tls, "psk") == 0)
		return error_set(err, ERR_NOT_SUPPORTED,
			"the server of the volume wants a key of its own (TLS-PSK), which"
			" libvirt cannot give: set nbd_tls = certificates where the"
			" volume is");
	if (!is_host(host) || !name_is_safe(name))
		return error_set(err, ERR_INVALID_INPUT,
			"'%.64s' and '%.64s' are no host and export", host, name);
	if (!out->tls && !is_loopback(host))
		return error_set(err, ERR_NOT_SUPPORTED,
			"the server of the volume is on another host ('%s') and does not"
			" encrypt: set nbd_tls = certificates there",
			host);
	out->kind = LOCATION_NBD;
	text_copy(out->host, sizeof(out->host), host);
	text_copy(out->export, sizeof(out->export), name);
	snprintf(out->port, sizeof(out->port), "%d", (int)port);
	return 0;
}

/* ---- all ---- */

int location_of_connection(const struct settings *settings, struct json_object *info,
	struct location *out, struct error *err)
{
	struct location made = { 0 };
	struct json_object *data = info;
	const char *type;
	bool encrypted;
	int rc;

	if (json_get_string(info, "driver_volume_type", &type, err) < 0)
		return -1;
	if (json_object_object_get(info, "data") &&
		json_get_object(info, "data", &data, err) < 0)
		return -1;
	if (json_get_bool_or(data, "encrypted", false, &encrypted, err) < 0)
		return -1;
	if (encrypted)
		return error_set(err, ERR_NOT_SUPPORTED, "the volume is encrypted");
	if (strcmp(type, "local") == 0)
		rc = of_local(data, &made, err);
	else if (strcmp(type, "nfs") == 0)
		rc = of_nfs(settings, data, &made, err);
	else if (strcmp(type, "nbd") == 0)
		rc = of_nbd(data, &made, err);
	else
		return error_set(err, ERR_NOT_SUPPORTED,
			"this host cannot connect a volume of type '%.32s', only local, nfs"
			" and nbd",
			type);
	if (rc == 0)
		*out = made;
	return rc;
}
