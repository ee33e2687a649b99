/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/versioned.h"

#include <stdio.h>

#include "cli/fields.h"

static struct json_object *versioned(
	const char *name, const char *version, struct json_object *data)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "versioned_object.name", name);
	json_add_string(o, "versioned_object.namespace", "cinder");
	json_add_string(o, "versioned_object.version", version);
	json_add(o, "versioned_object.data", data);
	return o;
}

static struct json_object *volume_fields(const struct volume *volume)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "id", volume->id);
	fields_text(o, "_name_id", volume->has_name_id ? volume->name_id : "");
	fields_text(o, "user_id", volume->user_id);
	fields_text(o, "project_id", volume->project_id);
	json_add_bool(o, "use_quota", volume->use_quota);
	fields_text(o, "snapshot_id", volume->snapshot_id);
	fields_text(o, "cluster_name", volume->cluster_name);
	fields_text(o, "host", volume->host);
	json_add_int(o, "size", volume->size_gib);
	fields_text(o, "availability_zone", volume->availability_zone);
	fields_text(o, "status", volume->status);
	fields_text(o, "attach_status", volume->attach_status);
	fields_text(o, "migration_status", volume->migration_status);
	fields_text(o, "display_name", volume->display_name);
	fields_text(o, "display_description", volume->display_description);
	fields_text(o, "volume_type_id", volume->volume_type_id);
	fields_text(o, "source_volid", volume->source_volid);
	fields_text(o, "consistencygroup_id", volume->consistencygroup_id);
	fields_text(o, "group_id", volume->group_id);
	json_add_bool(o, "deleted", volume->deleted);
	json_add_bool(o, "bootable", volume->bootable);
	json_add_bool(o, "multiattach", volume->multiattach);
	fields_text(o, "replication_status", volume->replication_status);
	fields_text(o, "previous_status", volume->previous_status);
	return o;
}

struct json_object *versioned_volume(const struct volume *volume)
{
	struct json_object *o = volume_fields(volume);
	char created_at[40] = "";

	/* "2024-05-01T12:00:00.123456" in the row, whole seconds and a Z in objects. */
	if (volume->created_at[0])
		snprintf(created_at, sizeof(created_at), "%.19sZ", volume->created_at);
	fields_text(o, "created_at", created_at);
	return versioned("Volume", "1.9", o);
}

static struct json_object *create_properties(const struct volume *volume)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "attach_status", "detached");
	fields_text(o, "availability_zone", volume->availability_zone);
	fields_text(o, "display_name", volume->display_name);
	fields_text(o, "display_description", volume->display_description);
	json_add(o, "metadata", json_object_new_object());
	json_add_bool(o, "multiattach", volume->multiattach);
	fields_text(o, "project_id", volume->project_id);
	json_add(o, "qos_specs", NULL);
	json_add(o, "reservations", json_object_new_array());
	json_add_int(o, "size", volume->size_gib);
	json_add(o, "snapshot_id", NULL);
	json_add(o, "source_volid", NULL);
	fields_text(o, "status", volume->status);
	fields_text(o, "user_id", volume->user_id);
	fields_text(o, "volume_type_id", volume->volume_type_id);
	return versioned("VolumeProperties", "1.1", o);
}

static struct json_object *create_spec(const struct volume *volume, const char *target)
{
	struct json_object *o = json_object_new_object();
	struct json_object *zones = json_object_new_array();

	json_add(o, "consistencygroup_id", NULL);
	json_add(o, "group_id", NULL);
	json_add(o, "cgsnapshot_id", NULL);
	json_add(o, "image_id", NULL);
	json_add(o, "snapshot_id", NULL);
	json_add(o, "source_volid", NULL);
	json_add_string(o, "volume_id", volume->id);
	json_add(o, "volume", versioned_volume(volume));
	json_add(o, "volume_properties", create_properties(volume));
	json_add(o, "resource_backend", target ? json_object_new_string(target) : NULL);
	json_add(o, "backup_id", NULL);
	if (volume->availability_zone[0])
		json_object_array_add(
			zones, json_object_new_string(volume->availability_zone));
	json_add(o, "availability_zones", zones);
	return versioned("RequestSpec", "1.5", o);
}

struct json_object *versioned_create(const struct volume *volume, const char *target)
{
	struct json_object *args = json_object_new_object();

	json_add(args, "volume", versioned_volume(volume));
	json_add(args, "snapshot_id", NULL);
	json_add(args, "image_id", NULL);
	json_add(args, "request_spec", create_spec(volume, target));
	json_add(args, "filter_properties", json_object_new_object());
	json_add(args, "backup_id", NULL);
	return args;
}

static struct json_object *type_fields(
	const struct volume *volume, const struct detail *specs, int spec_count)
{
	struct json_object *type = json_object_new_object();
	struct json_object *extra = json_object_new_object();

	for (int i = 0; i < spec_count; i++)
		fields_text(extra, specs[i].key, specs[i].value);
	if (volume->volume_type_id[0]) {
		json_add_string(type, "id", volume->volume_type_id);
		fields_text(type, "name", volume->volume_type);
	}
	json_add(type, "extra_specs", extra);
	return type;
}

/* Plain dictionaries, not versioned objects: so does cinder-api for this call. */
static struct json_object *migrate_spec(
	const struct volume *volume, const struct detail *specs, int spec_count)
{
	struct json_object *spec = json_object_new_object();
	struct json_object *properties = volume_fields(volume);

	fields_text(properties, "created_at", volume->created_at);
	fields_text(properties, "name_id", volume->name_id);
	json_add(spec, "volume_properties", properties);
	json_add(spec, "volume_type", type_fields(volume, specs, spec_count));
	json_add_string(spec, "volume_id", volume->id);
	return spec;
}

struct json_object *versioned_migrate(const struct volume *volume, const char *target,
	bool force_copy, const struct detail *specs, int spec_count)
{
	struct json_object *args = json_object_new_object();

	json_add(args, "volume", versioned_volume(volume));
	json_add(args, "backend", target ? json_object_new_string(target) : NULL);
	json_add_bool(args, "force_copy", force_copy);
	json_add(args, "request_spec", migrate_spec(volume, specs, spec_count));
	json_add(args, "filter_properties", NULL);
	return args;
}
