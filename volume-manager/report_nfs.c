/* SPDX-License-Identifier: Apache-2.0 */
/* What Cinder's NfsDriver reports: no pools, and its own vendor and version, which volume
 * types may ask for. */
#include <math.h>
#include <string.h>

#include "volume-manager/manager.h"

#define GIB 1073741824.0
/* Of the layout in the shares, not of Drover. */
#define NFS_VENDOR "Open Source"
#define NFS_VERSION "1.4.0"

bool reports_are_nfs(const struct managed *managed)
{
	return strcmp(managed->settings->volume_driver, "nfs") == 0;
}

/* Thick volumes are what is used. */
static double provisioned(const struct managed *managed, int64_t gib)
{
	uint64_t used = managed->total_bytes - managed->free_bytes;

	return managed->thin ? (double)gib : round((double)used / GIB * 100) / 100;
}

static void add_ratio(struct json_object *o, const char *text)
{
	double ratio;

	if (text_to_double(text, &ratio, NULL) == 0)
		json_add_double(o, "max_over_subscription_ratio", ratio);
	else
		json_add_string(o, "max_over_subscription_ratio", text);
}

struct json_object *reports_nfs(const struct managed *managed, int64_t gib)
{
	const struct backend_settings *settings = managed->settings;
	struct json_object *o = json_object_new_object();

	json_add_string(o, "volume_backend_name", settings->volume_backend_name);
	json_add_string(o, "vendor_name", NFS_VENDOR);
	json_add_string(o, "driver_version", NFS_VERSION);
	json_add_string(o, "storage_protocol", "nfs");
	json_add_double(o, "total_capacity_gb", (double)managed->total_bytes / GIB);
	json_add_double(o, "free_capacity_gb", (double)managed->free_bytes / GIB);
	if (floor(settings->reserved_percentage) == settings->reserved_percentage)
		json_add_int(o, "reserved_percentage",
			(int64_t)settings->reserved_percentage);
	else
		json_add_double(
			o, "reserved_percentage", settings->reserved_percentage);
	json_add_bool(o, "QoS_support", false);
	json_add_bool(o, "sparse_copy_volume", true);
	/* Hosts reach the share by themselves; Cinder's driver says nothing of it. */
	json_add_bool(o, "multiattach", true);
	json_add_double(o, "provisioned_capacity_gb", provisioned(managed, gib));
	add_ratio(o, settings->max_over_subscription_ratio);
	json_add_bool(o, "thin_provisioning_support", managed->thin);
	json_add_bool(o, "thick_provisioning_support", !managed->thin);
	json_add_int(o, "allocated_capacity_gb", gib);
	json_add(o, "filter_function", NULL);
	json_add(o, "goodness_function", NULL);
	return o;
}
