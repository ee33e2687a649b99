/* SPDX-License-Identifier: Apache-2.0 */
/* connect, disconnect, export list */
#include "cli/verbs.h"

#include <string.h>

#include "cli/fields.h"
#include "cli/table.h"
#include "common/store/connect.h"
#include "common/store/exports.h"
#include "common/store/operations.h"
#include "common/store/services.h"

#define EXPORT_WAIT_S 30

static struct json_object *export_json(const struct export *export)
{
	struct json_object *o = json_object_new_object();
	char uri[EXPORT_URI_SIZE] = "";

	if (strcmp(export->state, "open") == 0)
		export_uri(export, uri);
	json_add_string(o, "id", export->id);
	json_add_string(o, "volume_id", export->volume_id);
	fields_text(o, "host", export->host);
	json_add_string(o, "kind", export->kind);
	json_add_string(o, "state", export->state);
	fields_text(o, "peer", export->peer);
	json_add_bool(o, "read_only", export->read_only);
	fields_text(o, "uri", uri);
	fields_text(o, "created_at", export->created_at);
	fields_text(o, "error", export->error);
	return o;
}

/* 1: it is open, 0: not yet. */
static int is_open(
	struct cli *cli, const char *id, struct export *export, struct error *err)
{
	int found = store_export_get(cli->db, id, export, err);

	if (found < 0)
		return -1;
	if (found == 0 || strcmp(export->state, "closed") == 0 ||
		strcmp(export->state, "closing") == 0)
		return error_set(err, ERR_BACKEND, "the volume was not opened: %s",
			found && export->error[0] ? export->error
						  : "somebody closed it");
	return strcmp(export->state, "open") == 0;
}

static int wait_open(
	struct cli *cli, const char *id, struct export *export, struct error *err)
{
	double deadline = clock_seconds() + EXPORT_WAIT_S;

	for (;;) {
		int opened = is_open(cli, id, export, err);

		if (opened != 0)
			return opened < 0 ? -1 : 0;
		if (cli_interrupted())
			return error_set(err, ERR_CANCELLED, "interrupted");
		if (clock_seconds() > deadline)
			return error_set(err, ERR_TIMEOUT,
				"the volume manager of '%s' did not open the volume "
				"within %d s",
				export->host, EXPORT_WAIT_S);
		cli_pause(cli, 0.05);
	}
}

/* Connecting twice is connecting once: 1 and the id of what is there for peer already. */
static int find_connected(struct cli *cli, const char *volume_id, const char *peer,
	bool read_only, char id[UUID_TEXT_SIZE], struct error *err)
{
	AUTO(free) struct export *list = NULL;
	int count = store_export_list(cli->db, NULL, &list, err);

	for (int i = 0; i < count; i++) {
		const struct export *export = &list[i];

		if (strcmp(export->volume_id, volume_id) == 0 &&
			strcmp(export->kind, "attachment") == 0 &&
			strcmp(export->peer, peer) == 0 &&
			strcmp(export->state, "closing") != 0 &&
			export->read_only == read_only) {
			memcpy(id, export->id, UUID_TEXT_SIZE);
			return 1;
		}
	}
	return count < 0 ? -1 : 0;
}

/* Nobody would open it: better said at once than after the wait. */
static int check_manager(
	struct cli *cli, const struct volume *volume, struct error *err)
{
	struct address address;
	struct service service;
	int found;

	if (!volume->host[0] || address_parse(volume->host, &address, NULL) < 0)
		return 0; /* the store refuses it with its own reason */
	found = store_service_get(cli->db, address.backend,
		cli->settings->service_down_time, &service, err);
	if (found < 0 || (found && service.up))
		return found < 0 ? -1 : 0;
	return error_set(err, ERR_INVALID_HOST,
		"volume '%s' cannot be connected: the volume manager of '%s' is down",
		volume_label(volume), address.backend);
}

/* 1: it is new; 0: it was there. */
static int find_or_want(struct cli *cli, const struct volume *volume, const char *peer,
	char id[UUID_TEXT_SIZE], struct error *err)
{
	bool wanted = cli_has(cli, OPT_READ_ONLY), read_only;
	struct connection_facts facts;
	int found;

	if (store_connection_facts(cli->db, volume->id, &facts, err) < 0)
		return -1;
	read_only = wanted || facts.read_only;
	connection_facts_clear(&facts);
	if (read_only && !wanted)
		fprintf(stderr,
			"drover: volume '%s' is read-only, and so is what is "
			"connected\n",
			volume_label(volume));
	found = find_connected(cli, volume->id, peer, read_only, id, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	if (check_manager(cli, volume, err) < 0)
		return -1;
	return store_export_connect(cli->db, volume->id, peer, &read_only, id, err) < 0
		? -1
		: 1;
}

int verb_connect(struct cli *cli, struct error *err)
{
	char peer[256] = "localhost";
	char uri[EXPORT_URI_SIZE];
	char id[UUID_TEXT_SIZE];
	struct volume volume;
	struct export export;
	struct error ignored;
	int ours;

	gethostname(peer, sizeof(peer) - 1);
	if (cli_volume(cli, cli->words[0], &volume, err) < 0 ||
		db_listen(cli->db, DONE_CHANNEL, err) < 0)
		return -1;
	cli_catch_interrupt();
	ours = find_or_want(cli, &volume, peer, id, err);
	if (ours < 0)
		return -1;
	if (wait_open(cli, id, &export, err) < 0) {
		/* Nobody will use it: it must not be opened later. */
		if (ours && (err->code == ERR_TIMEOUT || err->code == ERR_CANCELLED))
			store_export_give_up(cli->db, &export, &ignored);
		return error_context(err, "connect '%s'", volume_label(&volume));
	}
	if (cli_has(cli, OPT_JSON)) {
		cli_json(export_json(&export));
		return 0;
	}
	export_uri(&export, uri);
	puts(uri);
	return 0;
}

/* Exports of the volume for attachments that are not closed. */
static int open_exports(struct cli *cli, const char *volume_id, struct error *err)
{
	AUTO(free) struct export *list = NULL;
	int count = store_export_list(cli->db, NULL, &list, err);
	int left = 0;

	for (int i = 0; i < count; i++)
		if (strcmp(list[i].volume_id, volume_id) == 0 &&
			strcmp(list[i].kind, "attachment") == 0)
			left++;
	return count < 0 ? -1 : left;
}

int verb_disconnect(struct cli *cli, struct error *err)
{
	double deadline = clock_seconds() + EXPORT_WAIT_S;
	struct volume volume;
	int left;

	if (cli_volume(cli, cli->words[0], &volume, err) < 0 ||
		db_listen(cli->db, DONE_CHANNEL, err) < 0 ||
		store_export_disconnect(cli->db, volume.id, err) < 0)
		return -1;
	while ((left = open_exports(cli, volume.id, err)) > 0) {
		if (clock_seconds() > deadline)
			return error_set(err, ERR_TIMEOUT,
				"the volume manager of '%s' has not closed volume '%s' "
				"yet; it will when it runs",
				volume.host, volume_label(&volume));
		cli_pause(cli, 0.05);
	}
	return left;
}

static void list_table(const struct export *list, int count)
{
	AUTO(table_free)
	struct table *table = TABLE("ID", "Volume", "Host", "Kind", "State", "Peer",
		"Read-only", "URI", "Created");

	for (int i = 0; i < count; i++) {
		char uri[EXPORT_URI_SIZE] = "";

		if (strcmp(list[i].state, "open") == 0)
			export_uri(&list[i], uri);
		table_add(table, list[i].id);
		table_add(table, list[i].volume_id);
		table_add(table, list[i].host);
		table_add(table, list[i].kind);
		table_add(table, list[i].state);
		table_add(table, text_or_none(list[i].peer));
		table_add(table, list[i].read_only ? "True" : "False");
		table_add(table, text_or_none(uri));
		table_add(table, list[i].created_at);
	}
	table_print(table, stdout);
}

int verb_export_list(struct cli *cli, struct error *err)
{
	AUTO(free) struct export *list = NULL;
	struct json_object *all;
	int count;

	if (cli_database(cli, err) < 0)
		return -1;
	count = store_export_list(cli->db, NULL, &list, err);
	if (count < 0)
		return -1;
	if (!cli_has(cli, OPT_JSON)) {
		list_table(list, count);
		return 0;
	}
	all = json_object_new_array();
	for (int i = 0; i < count; i++)
		json_object_array_add(all, export_json(&list[i]));
	cli_json(all);
	return 0;
}
