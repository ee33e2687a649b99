/* SPDX-License-Identifier: Apache-2.0 */
/* migration list, migration show */
#include "cli/verbs.h"

#include <limits.h>
#include <string.h>

#include "cli/fields.h"
#include "cli/progress.h"
#include "cli/show.h"
#include "cli/table.h"
#include "common/store/history.h"

#define LIST_NEWEST 50

static void list_json(const struct migration *list, int count)
{
	struct json_object *all = json_object_new_array();

	for (int i = 0; i < count; i++)
		json_object_array_add(all, show_migration_json(&list[i]));
	cli_json(all);
}

/* "43%", and what it may not exceed while it runs. */
static const char *list_progress(char *out, size_t size, const struct migration *m)
{
	bool limited = m->rate_limit > 0 && !phase_is_final(m->op.phase);
	char limit[LIMIT_TEXT_SIZE];

	snprintf(out, size, "%d%%%s%s", show_percent(m), limited ? ", at most " : "",
		limited ? show_limit(limit, m) : "");
	return out;
}

static void list_table(const struct migration *list, int count)
{
	AUTO(table_free)
	struct table *table = TABLE("ID", "Volume", "Phase", "Progress", "Route",
		"Source", "Target", "Created", "Reason");

	for (int i = 0; i < count; i++) {
		const struct migration *m = &list[i];
		char text[LIMIT_TEXT_SIZE + 24];

		table_add(table, m->op.id);
		table_add(table, m->volume_name[0] ? m->volume_name : m->op.volume_id);
		table_add(table, show_phase(m));
		table_add(table, list_progress(text, sizeof(text), m));
		table_add(table, text_or_none(m->route));
		table_add(table, text_or_none(m->source));
		table_add(table, text_or_none(m->target));
		table_add(table, m->created_at);
		table_add(table, text_or_none(m->op.reason));
	}
	table_print(table, stdout);
}

int verb_migration_list(struct cli *cli, struct error *err)
{
	AUTO(free) struct migration *list = NULL;
	int limit = cli_has(cli, OPT_ALL) ? INT_MAX : LIST_NEWEST;
	struct volume volume;
	int count;

	if (cli_database(cli, err) < 0)
		return -1;
	if (cli->words[0] && cli_volume(cli, cli->words[0], &volume, err) < 0)
		return -1;
	count = store_migration_list(
		cli->db, cli->words[0] ? volume.id : NULL, false, limit, &list, err);
	if (count < 0)
		return -1;
	if (cli_has(cli, OPT_JSON)) {
		list_json(list, count);
		return 0;
	}
	list_table(list, count);
	if (count == limit)
		cli_say("these are the newest %d; --all shows more", count);
	return 0;
}

static void add_size(struct table *table, const char *name, int64_t bytes)
{
	char size[SIZE_TEXT_SIZE];
	AUTO(free)
	char *text = text_format(
		"%lld (%s)", (long long)bytes, text_size(size, (uint64_t)bytes));

	table_property(table, name, text);
}

static void add_seconds(struct table *table, const char *name, double seconds)
{
	char text[40];

	snprintf(text, sizeof(text), "%.3f s", seconds);
	table_property(table, name, text);
}

static void add_bytes(struct table *t, const struct migration *m)
{
	char size[SIZE_TEXT_SIZE];
	char rate[SIZE_TEXT_SIZE + 8], limit[LIMIT_TEXT_SIZE];

	snprintf(rate, sizeof(rate), "%s/s",
		text_size(size, m->rate > 0 ? (uint64_t)m->rate : 0));
	add_size(t, "size", m->size_bytes);
	add_size(t, "position", m->position);
	add_size(t, "copied", m->copied);
	add_size(t, "skipped", m->skipped);
	add_size(t, "checkpoint", m->checkpoint);
	table_property(t, "rate", m->rate > 0 ? rate : NULL);
	table_property(t, "rate_limit", show_limit(limit, m));
	table_property(t, "paused", m->paused ? "True" : "False");
	table_property(t, "digest", text_or_none(m->digest));
}

static void properties(const struct migration *m)
{
	AUTO(table_free) struct table *t = TABLE("Property", "Value");

	table_property(t, "id", m->op.id);
	table_property(t, "volume_id", m->op.volume_id);
	table_property(t, "volume_name", text_or_none(m->volume_name));
	table_property(t, "phase", phase_name(m->op.phase));
	table_property(t, "route", text_or_none(m->route));
	table_property(t, "source", text_or_none(m->source));
	table_property(t, "target", text_or_none(m->target));
	table_property(t, "temporary_id", text_or_none(m->temporary_id));
	add_bytes(t, m);
	table_property(t, "created_at", text_or_none(m->created_at));
	table_property(t, "finished_at", text_or_none(m->finished_at));
	add_seconds(t, "age", m->age_s);
	add_seconds(t, "copy_time", m->copy_s);
	table_property(t, "force_host_copy", m->force_host_copy ? "True" : "False");
	table_property(t, "lock_volume", m->lock_volume ? "True" : "False");
	table_property(t, "cancel_requested", m->op.cancel ? "True" : "False");
	table_property(t, "request_id", text_or_none(m->op.request_id));
	table_property(t, "epoch", NUM(epoch_number(m->op.epoch)));
	table_property(t, "attempts", NUM(m->op.attempts));
	table_property(t, "error_code", text_or_none(m->error_code));
	table_property(t, "reason", text_or_none(m->op.reason));
	table_print(t, stdout);
}

static void history_table(const struct transition *list, int count)
{
	AUTO(table_free)
	struct table *table = TABLE("At", "From", "To", "Why", "Epoch");

	for (int i = 0; i < count; i++) {
		table_add(table, list[i].at);
		table_add(table, list[i].from);
		table_add(table, list[i].to);
		table_add(table, list[i].why);
		table_add_int(table, epoch_number(list[i].epoch));
	}
	table_print(table, stdout);
}

static struct json_object *history_json(const struct transition *list, int count)
{
	struct json_object *all = json_object_new_array();

	for (int i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();

		json_add_string(o, "at", list[i].at);
		json_add_string(o, "from", list[i].from);
		json_add_string(o, "to", list[i].to);
		fields_text(o, "why", list[i].why);
		json_add_int(o, "epoch", epoch_number(list[i].epoch));
		json_object_array_add(all, o);
	}
	return all;
}

/* By its id, or the newest of a volume, which may be deleted when its id is given. */
static int find(
	struct cli *cli, const char *word, struct migration *out, struct error *err)
{
	struct volume volume;
	int found = 0;

	if (cli_database(cli, err) < 0)
		return -1;
	if (uuid_is(word))
		found = store_migration_get(cli->db, word, out, err);
	if (found == 0 && uuid_is(word))
		found = store_migration_last(cli->db, word, out, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	if (cli_volume(cli, word, &volume, err) < 0)
		return -1;
	found = store_migration_last(cli->db, volume.id, out, err);
	if (found == 0)
		return error_set(err, ERR_NOT_FOUND, "volume '%s' was never migrated",
			volume_label(&volume));
	return found < 0 ? -1 : 0;
}

int verb_migration_show(struct cli *cli, struct error *err)
{
	AUTO(free) struct transition *history = NULL;
	struct json_object *o;
	struct migration m;
	int count;

	if (find(cli, cli->words[0], &m, err) < 0)
		return -1;
	count = store_history(cli->db, m.op.id, &history, err);
	if (count < 0)
		return -1;
	if (!cli_has(cli, OPT_JSON)) {
		properties(&m);
		history_table(history, count);
		return 0;
	}
	o = show_migration_json(&m);
	json_add(o, "history", history_json(history, count));
	cli_json(o);
	return 0;
}
