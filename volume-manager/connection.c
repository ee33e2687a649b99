/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/connection.h"

#include <stdio.h>
#include <string.h>

#include "common/nfs_shares.h"
#include "common/text.h"
#include "volume-manager/backend.h"

/* ---- quality of service ---- */

/* The whole number in specs[name], as text or number; taken out of it. False: not there. */
static bool take_number(struct json_object *specs, const char *name, int64_t *out)
{
	struct json_object *value;
	bool ok;

	if (!json_object_object_get_ex(specs, name, &value))
		return false;
	ok = value &&
		text_to_int(json_object_get_string(value), 0, INT64_MAX / 2, out,
			NULL) == 0;
	json_object_object_del(specs, name);
	return ok;
}

static void settle_limit(struct json_object *specs, const char *limit, int64_t size_gib)
{
	char per_gb[64], min[64], max[64];
	int64_t value, least = 0, most, total;

	snprintf(per_gb, sizeof(per_gb), "%s_per_gb", limit);
	snprintf(min, sizeof(min), "%s_per_gb_min", limit);
	snprintf(max, sizeof(max), "%s_max", limit);
	if (!take_number(specs, per_gb, &value))
		return;
	take_number(specs, min, &least);
	if (__builtin_mul_overflow(value, size_gib, &total))
		total = INT64_MAX / 2;
	if (total < least)
		total = least;
	most = total;
	take_number(specs, max, &most);
	json_object_object_del(specs, limit);
	json_add_int(specs, limit, total < most ? total : most);
}

struct json_object *connection_qos(struct json_object *specs, int64_t size_gib)
{
	static const char *const limits[] = { "read_iops_sec", "read_bytes_sec",
		"write_iops_sec", "write_bytes_sec", "total_iops_sec",
		"total_bytes_sec" };
	struct json_object *copy = NULL;

	if (!specs || json_object_deep_copy(specs, &copy, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		settle_limit(copy, limits[i], size_gib);
	return copy;
}

/* ---- the forms ---- */

static void add_options(
	struct json_object *data, const struct connection_facts *facts, bool read_only)
{
	json_add(data, "qos_specs", connection_qos(facts->qos_specs, facts->size_gib));
	json_add_string(data, "access_mode", read_only ? "ro" : "rw");
	json_add_bool(data, "encrypted", facts->encrypted);
	json_add_bool(data, "cacheable", facts->cacheable);
}

struct json_object *connection_nbd(
	const struct export *export, const struct connection_facts *facts)
{
	struct json_object *o = json_object_new_object();
	struct json_object *data = json_object_new_object();
	char uri[EXPORT_URI_SIZE];

	export_uri(export, uri);
	json_add_string(data, "uri", uri);
	json_add_string(data, "address", export->address);
	json_add_int(data, "port", export->port);
	json_add_string(data, "export", export->id);
	json_add_string(data, "volume_id", export->volume_id);
	if (export->certificates)
		json_add_string(data, "tls", "certificates");
	add_options(data, facts, export->read_only);
	json_add_string(o, "driver_volume_type", "nbd");
	json_add(o, "data", data);
	return o;
}

struct json_object *connection_nfs(
	const struct connection_share *share, const struct connection_facts *facts)
{
	struct json_object *o = json_object_new_object();
	struct json_object *data = json_object_new_object();

	json_add_string(data, "export", facts->provider_location);
	json_add_string(data, "name", share->name);
	if (share->known && share->options)
		json_add_string(data, "options", share->options);
	else if (share->known)
		json_add(data, "options", NULL);
	json_add_string(data, "format", facts->format);
	add_options(data, facts, facts->read_only);
	json_add_string(o, "driver_volume_type", "nfs");
	json_add(o, "data", data);
	json_add_string(o, "mount_point_base", share->mount_point_base);
	return o;
}

struct json_object *connection_local(
	const char *path, const struct connection_facts *facts)
{
	struct json_object *o = json_object_new_object();
	struct json_object *data = json_object_new_object();

	json_add_string(data, "device_path", path);
	json_add_string(data, "format", facts->format);
	add_options(data, facts, facts->read_only);
	json_add_string(o, "driver_volume_type", "local");
	json_add(o, "data", data);
	return o;
}

struct json_object *connection_flat(struct json_object *info, const char *attachment_id)
{
	struct json_object *flat = json_object_new_object();
	struct json_object *data = json_object_object_get(info, "data");

	json_object_object_foreach(data, key, value)
		json_add(flat, key, json_object_get(value));
	json_object_object_foreach(info, other, part) if (strcmp(other, "data") != 0)
		json_add(flat, other, json_object_get(part));
	json_add_string(flat, "attachment_id", attachment_id);
	json_object_put(info);
	return flat;
}

/* ---- by backend ---- */

int connection_failed(struct error *err)
{
	char why[ERROR_TEXT_SIZE];

	text_copy(why, sizeof(why), err->text);
	return error_set(err, ERR_BACKEND,
		"Bad or unexpected response from the storage volume backend API: "
		"Driver initialize connection failed (error: %s).",
		why);
}

bool connection_is_shared(const struct backend_settings *settings)
{
	return strcmp(settings->volume_driver, "nfs") == 0;
}

bool connection_is_file(const struct backend_settings *settings)
{
	return strcmp(settings->volume_driver, "file") == 0;
}

static int info_of_file(const struct backend_settings *settings,
	const struct volume *volume, const struct connection_facts *facts,
	struct json_object **out, struct error *err)
{
	char name[256];
	AUTO(free) char *path = NULL;

	if (backend_object_name(settings, volume->name_id, name, sizeof(name), err) < 0)
		return connection_failed(err);
	path = text_format("%s/%s", settings->file_directory, name);
	if (!path)
		return error_no_memory(err);
	*out = connection_local(path, facts);
	return 0;
}

static int info_of_share(const struct backend_settings *settings,
	const struct volume *volume, const struct connection_facts *facts,
	struct json_object **out, struct error *err)
{
	AUTO(nfs_shares_clear) struct nfs_shares shares = { 0 };
	struct connection_share place = { .known = false };
	char name[256], base[PATH_MAX];
	const struct nfs_share *share;

	if (!facts->provider_location[0]) {
		error_set(err, ERR_BACKEND, "volume '%s' has no provider_location",
			volume->id);
		return connection_failed(err);
	}
	if (backend_object_name(settings, volume->name_id, name, sizeof(name), err) <
			0 ||
		nfs_shares_load(settings, &shares, err) < 0 ||
		nfs_mount_base(settings, base, err) < 0)
		return connection_failed(err);
	share = nfs_shares_find(&shares, facts->provider_location);
	place.known = share;
	place.options = share && share->options[0] ? share->options : NULL;
	place.name = name;
	place.mount_point_base = base;
	*out = connection_nfs(&place, facts);
	return 0;
}

int connection_info(const struct backend_settings *settings,
	const struct volume *volume, const struct connection_facts *facts,
	const char *host, bool local, struct json_object **out, struct error *err)
{
	if (local)
		return info_of_file(settings, volume, facts, out, err);
	if (connection_is_shared(settings))
		return info_of_share(settings, volume, facts, out, err);
	/* Nova and os-brick do not speak NBD: they would not know what to do with it. */
	return error_set(err, ERR_INVALID_INPUT,
		"the connector of host '%s' does not say that it speaks NBD "
		"(\"nbd\": true), and '%s' offers nothing else",
		host, volume->host);
}
