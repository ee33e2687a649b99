/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

#include "cli/fields.h"
#include "cli/table.h"
#include "common/store/attachments.h"
#include "common/store/details.h"

static int attachments_json(struct cli *cli, const char *volume_id,
	struct json_object **out, struct error *err)
{
	AUTO(free) struct attachment *list = NULL;
	int count = store_attachment_list(cli->db, volume_id, &list, err);

	if (count < 0)
		return -1;
	*out = json_object_new_array();
	for (int i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();

		fields_text(o, "attachment_id", list[i].id);
		fields_text(o, "server_id", list[i].server_id);
		fields_text(o, "host_name", list[i].host_name);
		fields_text(o, "device", list[i].device);
		fields_text(o, "status", list[i].status);
		fields_text(o, "mode", list[i].mode);
		fields_text(o, "attached_at", list[i].attached_at);
		json_object_array_add(*out, o);
	}
	return 0;
}

static int metadata_json(struct cli *cli, const char *volume_id,
	struct json_object **out, struct error *err)
{
	AUTO(free) struct detail *list = NULL;
	int count = store_metadata_list(cli->db, volume_id, &list, err);

	if (count < 0)
		return -1;
	*out = json_object_new_object();
	for (int i = 0; i < count; i++)
		fields_text(*out, list[i].key, list[i].value);
	return 0;
}

struct json_object *show_volume_json(const struct volume *volume)
{
	struct json_object *o = json_object_new_object();

	fields_text(o, "availability_zone", volume->availability_zone);
	json_add_bool(o, "bootable", volume->bootable);
	fields_text(o, "created_at", volume->created_at);
	fields_text(o, "display_description", volume->display_description);
	fields_text(o, "display_name", volume->display_name);
	json_add_string(o, "id", volume->id);
	fields_text(o, "os-vol-host-attr:host", volume->host);
	fields_text(o, "os-vol-mig-status-attr:migstat", volume->migration_status);
	fields_text(o, "os-vol-mig-status-attr:name_id",
		volume->has_name_id ? volume->name_id : "");
	fields_text(o, "os-vol-tenant-attr:tenant_id", volume->project_id);
	json_add_int(o, "size", volume->size_gib);
	fields_text(o, "snapshot_id", volume->snapshot_id);
	fields_text(o, "source_volid", volume->source_volid);
	fields_text(o, "status", volume->status);
	fields_text(o, "volume_type", volume->volume_type);
	return o;
}

static void print_properties(const struct volume *volume, const char *attached_to,
	struct json_object *metadata)
{
	AUTO(table_free) struct table *t = TABLE("Property", "Value");
	AUTO(free) char *attachments = text_format("[%s]", attached_to);
	AUTO(free) char *metadata_text = json_text(metadata);

	table_property(t, "attachments", attachments);
	table_property(t, "availability_zone", text_or_none(volume->availability_zone));
	table_property(t, "bootable", volume->bootable ? "True" : "False");
	table_property(t, "created_at", text_or_none(volume->created_at));
	table_property(
		t, "display_description", text_or_none(volume->display_description));
	table_property(t, "display_name", text_or_none(volume->display_name));
	table_property(t, "id", volume->id);
	table_property(t, "metadata", metadata_text);
	table_property(t, "os-vol-host-attr:host", text_or_none(volume->host));
	table_property(t, "os-vol-mig-status-attr:migstat",
		text_or_none(volume->migration_status));
	table_property(t, "os-vol-mig-status-attr:name_id",
		volume->has_name_id ? volume->name_id : NULL);
	table_property(
		t, "os-vol-tenant-attr:tenant_id", text_or_none(volume->project_id));
	table_property(t, "size", NUM(volume->size_gib));
	table_property(t, "snapshot_id", text_or_none(volume->snapshot_id));
	table_property(t, "source_volid", text_or_none(volume->source_volid));
	table_property(t, "status", text_or_none(volume->status));
	table_property(t, "volume_type", text_or_none(volume->volume_type));
	table_print(t, stdout);
}

static int print_volume(struct cli *cli, const struct volume *volume,
	const struct migration *last, struct error *err)
{
	AUTO(json_object_put) struct json_object *metadata = NULL;
	char attached_to[512];

	if (metadata_json(cli, volume->id, &metadata, err) < 0 ||
		store_volume_attached_to(
			cli->db, volume->id, attached_to, sizeof(attached_to), err) < 0)
		return -1;
	print_properties(volume, attached_to, metadata);
	if (last && last->op.phase == PHASE_FAILED)
		cli_say("last migration failed: %s", last->op.reason);
	return 0;
}

static int print_volume_json(struct cli *cli, const struct volume *volume,
	const struct migration *last, struct error *err)
{
	AUTO(json_object_put) struct json_object *attachments = NULL;
	AUTO(json_object_put) struct json_object *metadata = NULL;
	struct json_object *o;

	if (attachments_json(cli, volume->id, &attachments, err) < 0 ||
		metadata_json(cli, volume->id, &metadata, err) < 0)
		return -1;
	o = show_volume_json(volume);
	json_add(o, "attachments", steal(attachments));
	json_add(o, "metadata", steal(metadata));
	json_add(o, "last_migration", last ? show_migration_json(last) : NULL);
	cli_json(o);
	return 0;
}

int show_volume(struct cli *cli, const struct volume *volume, struct error *err)
{
	struct migration last;
	int migrated = store_migration_last(cli->db, volume->id, &last, err);

	if (migrated < 0)
		return -1;
	if (cli_has(cli, OPT_JSON))
		return print_volume_json(cli, volume, migrated ? &last : NULL, err);
	return print_volume(cli, volume, migrated ? &last : NULL, err);
}

struct json_object *show_migration_json(const struct migration *m)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "id", m->op.id);
	json_add_string(o, "volume_id", m->op.volume_id);
	fields_text(o, "volume_name", m->volume_name);
	json_add_string(o, "phase", phase_name(m->op.phase));
	fields_text(o, "route", m->route);
	fields_text(o, "source", m->source);
	fields_text(o, "target", m->target);
	fields_text(o, "temporary_id", m->temporary_id);
	json_add_int(o, "size_bytes", m->size_bytes);
	json_add_int(o, "position_bytes", m->position);
	json_add_int(o, "copied_bytes", m->copied);
	json_add_int(o, "skipped_bytes", m->skipped);
	json_add_int(o, "checkpoint_bytes", m->checkpoint);
	json_add_int(o, "rate_bytes_per_second", (int64_t)m->rate);
	if (m->rate_limit == RATE_OF_BACKEND)
		json_add(o, "rate_limit_bytes_per_second", NULL);
	else
		json_add_int(o, "rate_limit_bytes_per_second", m->rate_limit);
	json_add_bool(o, "paused", m->paused);
	json_add_double(o, "age_seconds", m->age_s);
	json_add_double(o, "copy_seconds", m->copy_s);
	fields_text(o, "digest", m->digest);
	fields_text(o, "created_at", m->created_at);
	fields_text(o, "finished_at", m->finished_at);
	json_add_bool(o, "cancel_requested", m->op.cancel);
	json_add_bool(o, "force_host_copy", m->force_host_copy);
	json_add_bool(o, "lock_volume", m->lock_volume);
	json_add_int(o, "epoch", epoch_number(m->op.epoch));
	json_add_int(o, "attempts", m->op.attempts);
	fields_text(o, "request_id", m->op.request_id);
	fields_text(o, "error_code", m->error_code);
	fields_text(o, "reason", m->op.reason);
	return o;
}

const char *show_phase(const struct migration *m)
{
	bool copies = m->op.phase == PHASE_QUEUED || m->op.phase == PHASE_PREPARING ||
		m->op.phase == PHASE_COPYING;

	return m->paused && copies ? "paused" : phase_name(m->op.phase);
}

const char *show_limit(char out[LIMIT_TEXT_SIZE], const struct migration *m)
{
	char size[SIZE_TEXT_SIZE];

	if (m->rate_limit == RATE_OF_BACKEND)
		return "default";
	if (m->rate_limit == 0)
		return "none";
	snprintf(
		out, LIMIT_TEXT_SIZE, "%s/s", text_size(size, (uint64_t)m->rate_limit));
	return out;
}

int show_percent(const struct migration *m)
{
	if (m->size_bytes <= 0 || m->op.phase == PHASE_DONE)
		return m->op.phase == PHASE_DONE ? 100 : 0;
	if (m->position >= m->size_bytes)
		return 100;
	return (int)((double)m->position * 100 / (double)m->size_bytes);
}
