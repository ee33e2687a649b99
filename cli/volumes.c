/* SPDX-License-Identifier: Apache-2.0 */
/* create, list, show, delete */
#include "cli/verbs.h"

#include <inttypes.h>
#include <string.h>

#include "cli/show.h"
#include "cli/table.h"
#include "cli/versioned.h"
#include "common/store/deletes.h"
#include "common/store/garbage.h"
#include "common/store/history.h"
#include "common/store/operations.h"

#define SIZE_GIB_MAX (16384 * 1024)
#define CREATE_WAIT_S 30
#define REMOVE_WAIT_S 10

static int create_size(const char *text, int64_t *out, struct error *err)
{
	struct error why;

	if (text_to_int(text, 1, SIZE_GIB_MAX, out, &why) == 0)
		return 0;
	return error_set(err, ERR_USAGE, "'%.40s' is no size: whole GiB from 1 to %d",
		text, SIZE_GIB_MAX);
}

static int create_row(struct cli *cli, struct volume *volume, struct error *err)
{
	const struct settings *settings = cli->settings;
	const char *zone = cli->options.value[OPT_ZONE];
	const char *type = cli->options.value[OPT_TYPE];
	struct volume_create create = { .display_name = cli->options.value[OPT_NAME] };
	int found;

	if (!zone)
		zone = settings->default_availability_zone;
	create.availability_zone = zone ? zone : settings->storage_availability_zone;
	create.volume_type = type ? type : settings->default_volume_type;
	if (create_size(cli->words[0], &create.size_gib, err) < 0 ||
		store_volume_create(cli->db, &create, err) < 0)
		return -1;
	found = store_volume_get(cli->db, create.id, volume, err);
	if (found == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND, "volume '%s' is gone again",
			create.id);
	return found < 0 ? -1 : 0;
}

static int create_failed(
	struct cli *cli, const struct volume *volume, struct error *err)
{
	char reason[ERROR_TEXT_SIZE];
	int known =
		store_create_reason(cli->db, volume->id, reason, sizeof(reason), err);

	if (known < 0)
		return -1;
	return error_set(err, known ? ERR_BACKEND : ERR_NO_VALID_BACKEND,
		"volume '%s' could not be made: %s", volume->id,
		known ? reason : "the scheduler found no backend for it");
}

/* Until the volume is not creating any more. */
static int create_wait(struct cli *cli, struct volume *volume, struct error *err)
{
	double deadline = clock_seconds() + CREATE_WAIT_S;
	char id[UUID_TEXT_SIZE];

	memcpy(id, volume->id, sizeof(id));
	for (;;) {
		int found = store_volume_get(cli->db, id, volume, err);

		if (found < 0)
			return -1;
		if (found == 0)
			return error_set(err, ERR_VOLUME_NOT_FOUND,
				"volume '%s' was deleted meanwhile", id);
		if (strcmp(volume->status, "error") == 0)
			return create_failed(cli, volume, err);
		if (strcmp(volume->status, "creating") != 0)
			return 0;
		if (clock_seconds() > deadline)
			return error_set(err, ERR_TIMEOUT,
				"volume '%s' is still 'creating' on %s; 'drover show %s' "
				"tells more",
				id, volume->host[0] ? volume->host : "no backend", id);
		cli_pause(cli, 0.1);
	}
}

static int create_cast(struct cli *cli, const struct volume *volume, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = NULL;
	char request_id[REQUEST_TEXT_SIZE];
	struct error ignored;

	request_id_make(request_id);
	args = versioned_create(volume, cli->options.value[OPT_TARGET]);
	if (cli_cast(cli, "create_volume", "3.0", request_id, args, err) == 0)
		return 0;
	/* What cannot be sent stays behind in error, as cinder-api leaves it. */
	store_volume_create_failed(cli->db, volume->id, request_id, NULL, &ignored);
	return error_context(err, "volume '%s' is in error", volume->id);
}

int verb_create(struct cli *cli, struct error *err)
{
	const char *target = cli->options.value[OPT_TARGET];
	struct address address;
	struct volume volume;
	int64_t size;

	if (create_size(cli->words[0], &size, err) < 0 ||
		(target && address_parse(target, &address, err) < 0))
		return -1;
	if (cli_database(cli, err) < 0 || cli_broker(cli, err) < 0)
		return -1;
	if (db_listen(cli->db, DONE_CHANNEL, err) < 0 ||
		create_row(cli, &volume, err) < 0 || create_cast(cli, &volume, err) < 0)
		return -1;
	if (!cli_has(cli, OPT_NO_WAIT) && create_wait(cli, &volume, err) < 0)
		return -1;
	return show_volume(cli, &volume, err);
}

static void list_json(const struct volume *list, int count)
{
	struct json_object *all = json_object_new_array();

	for (int i = 0; i < count; i++)
		json_object_array_add(all, show_volume_json(&list[i]));
	cli_json(all);
}

static void list_table(const struct volume *list, int count)
{
	AUTO(table_free)
	struct table *table = TABLE(
		"ID", "Status", "Name", "Size", "Volume Type", "Host", "Migration");

	for (int i = 0; i < count; i++) {
		table_add(table, list[i].id);
		table_add(table, list[i].status);
		table_add(table, text_or_none(list[i].display_name));
		table_add_int(table, list[i].size_gib);
		table_add(table, text_or_none(list[i].volume_type));
		table_add(table, text_or_none(list[i].host));
		table_add(table, text_or_none(list[i].migration_status));
	}
	table_print(table, stdout);
}

int verb_list(struct cli *cli, struct error *err)
{
	AUTO(free) struct volume *list = NULL;
	int count;

	if (cli_database(cli, err) < 0)
		return -1;
	count = store_volume_list(cli->db, cli_has(cli, OPT_ALL), &list, err);
	if (count < 0)
		return -1;
	if (cli_has(cli, OPT_JSON))
		list_json(list, count);
	else
		list_table(list, count);
	return 0;
}

int verb_show(struct cli *cli, struct error *err)
{
	struct volume volume;

	if (cli_volume(cli, cli->words[0], &volume, err) < 0)
		return -1;
	return show_volume(cli, &volume, err);
}

/* Is an object of this volume still to be removed? 1 and where, 0 when none is. */
static int left_over(struct cli *cli, const char *name_id, char where[ADDRESS_SIZE],
	struct error *err)
{
	AUTO(free) struct garbage *list = NULL;
	int count = store_garbage_list(cli->db, NULL, &list, err);

	for (int i = 0; i < count; i++)
		if (strcmp(list[i].volume_id, name_id) == 0) {
			memcpy(where, list[i].host, ADDRESS_SIZE);
			return 1;
		}
	return count < 0 ? -1 : 0;
}

int verb_delete(struct cli *cli, struct error *err)
{
	double deadline = clock_seconds() + REMOVE_WAIT_S;
	char request_id[REQUEST_TEXT_SIZE];
	char where[ADDRESS_SIZE];
	enum admission admission;
	struct volume volume;
	int left = 1;

	if (cli_volume(cli, cli->words[0], &volume, err) < 0)
		return -1;
	request_id_make(request_id);
	if (store_delete_volume(
		    cli->db, volume.id, request_id, false, &admission, err) < 0)
		return -1;
	while (!cli_has(cli, OPT_NO_WAIT)) {
		left = left_over(cli, volume.name_id, where, err);
		if (left < 0)
			return -1;
		if (left == 0 || clock_seconds() > deadline)
			break;
		cli_pause(cli, 0.05);
	}
	if (left && !cli_has(cli, OPT_NO_WAIT))
		cli_say("volume '%s' is deleted; what it leaves on '%s' goes when its "
			"manager gets to it ('drover garbage' lists it)",
			volume_label(&volume), where);
	else
		cli_say("volume '%s' is deleted", volume_label(&volume));
	return 0;
}
