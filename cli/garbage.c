/* SPDX-License-Identifier: Apache-2.0 */
/* garbage list: what is left over on the backends, and why it is still there; garbage
 * remove: it need not be kept any longer */
#include "cli/verbs.h"

#include "cli/fields.h"
#include "cli/table.h"
#include "common/store/garbage.h"

static const char *state_name(const struct garbage *garbage)
{
	static const char *const names[] = {
		[GARBAGE_WAITING] = "waiting",
		[GARBAGE_RENAMED] = "renamed",
		[GARBAGE_REMOVED] = "removed",
	};

	return garbage->quarantined ? "quarantined" : names[garbage->state];
}

static const char *name_now(const struct garbage *garbage)
{
	return garbage->state == GARBAGE_WAITING ? garbage->name : garbage->trash_name;
}

static void list_json(const struct garbage *list, int count)
{
	struct json_object *all = json_object_new_array();

	for (int i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();

		json_add_string(o, "id", list[i].id);
		fields_text(o, "host", list[i].host);
		fields_text(o, "name", list[i].name);
		fields_text(o, "trash_name", list[i].trash_name);
		fields_text(o, "identity", list[i].identity);
		fields_text(o, "volume_id", list[i].volume_id);
		fields_text(o, "operation_id", list[i].operation_id);
		json_add_string(o, "state", state_name(&list[i]));
		fields_text(o, "reason", list[i].reason);
		json_add_int(o, "attempts", list[i].attempts);
		json_add_double(o, "wait_seconds", list[i].wait_s);
		fields_text(o, "last_error", list[i].last_error);
		fields_text(o, "created_at", list[i].created_at);
		json_object_array_add(all, o);
	}
	cli_json(all);
}

static void list_table(const struct garbage *list, int count)
{
	AUTO(table_free)
	struct table *table = TABLE("Host", "Object", "State", "Reason", "Attempts",
		"Created", "Last error");

	for (int i = 0; i < count; i++) {
		table_add(table, list[i].host);
		table_add(table, name_now(&list[i]));
		table_add(table, state_name(&list[i]));
		table_add(table, list[i].reason);
		table_add_int(table, list[i].attempts);
		table_add(table, list[i].created_at);
		table_add(table, text_or_none(list[i].last_error));
	}
	table_print(table, stdout);
}

int verb_garbage_list(struct cli *cli, struct error *err)
{
	AUTO(free) struct garbage *list = NULL;
	int count;

	if (cli_database(cli, err) < 0)
		return -1;
	count = store_garbage_list(cli->db, NULL, &list, err);
	if (count < 0)
		return -1;
	if (cli_has(cli, OPT_JSON))
		list_json(list, count);
	else
		list_table(list, count);
	return 0;
}

int verb_garbage_remove(struct cli *cli, struct error *err)
{
	if (cli_database(cli, err) < 0)
		return -1;
	return store_garbage_hurry(cli->db, cli->words[0], err);
}
