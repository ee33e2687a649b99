/* SPDX-License-Identifier: Apache-2.0 */
/* watch, and the waiting of the other verbs */
#include "cli/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/progress.h"
#include "cli/show.h"
#include "cli/verbs.h"

#define LOOK_EVERY_S 0.1
/* A refused request leaves its row right after the volume was set back. */
#define NO_ROW_GRACE_S 2

int watch_prepare(struct cli *cli, struct error *err)
{
	cli_catch_interrupt();
	return db_listen(cli->db, DONE_CHANNEL, err);
}

static bool is_it(const struct watched *watched, const struct migration *m)
{
	if (watched->request_id)
		return strcmp(m->op.request_id, watched->request_id) == 0;
	return !watched->not_id || strcmp(m->op.id, watched->not_id) != 0;
}

/* 1 and *out: the row of the migration; 0: none yet. */
static int find_row(struct cli *cli, const struct watched *watched,
	struct migration *out, struct error *err)
{
	AUTO(free) struct migration *list = NULL;
	int count = store_migration_list(
		cli->db, watched->volume.id, false, 20, &list, err);

	for (int i = 0; i < count; i++)
		if (is_it(watched, &list[i])) {
			*out = list[i];
			return 1;
		}
	return count < 0 ? -1 : 0;
}

static bool is_waiting(const struct volume *volume)
{
	static const char *const names[] = { "starting", "migrating", "completing" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(volume->migration_status, names[i]) == 0)
			return true;
	return false;
}

/* 1: the volume is on its way somewhere, whoever does it; 0: not (any more). */
static int still_waits(
	struct cli *cli, const struct watched *watched, struct error *err)
{
	struct volume now;
	int found = store_volume_get(cli->db, watched->volume.id, &now, err);

	return found <= 0 ? found : is_waiting(&now);
}

static bool is_away(const struct error *err)
{
	return err->code == ERR_DB_UNAVAILABLE || err->code == ERR_DB_UNKNOWN ||
		err->code == ERR_DB_RETRY;
}

struct look {
	bool found; /* out is its row */
	bool ended;
	double idle_since; /* the volume waits for nothing and there is no row: since then */
};

static int look(struct cli *cli, const struct watched *watched, struct look *look,
	struct migration *out, struct error *err)
{
	double now = clock_seconds();
	int waits = 1;
	int found;

	if (look->found) {
		found = store_migration_get(cli->db, out->op.id, out, err);
	} else {
		/* In this order: the row comes before the volume is set back. */
		waits = still_waits(cli, watched, err);
		if (waits < 0)
			return -1;
		found = find_row(cli, watched, out, err);
	}
	if (found < 0)
		return -1;
	look->found = found > 0;
	look->ended = look->found && phase_is_final(out->op.phase);
	if (look->found || waits)
		look->idle_since = now;
	if (now - look->idle_since > NO_ROW_GRACE_S)
		look->ended = true;
	return 0;
}

static int stop_watching(const struct watched *watched, struct error *err)
{
	const char *name = volume_label(&watched->volume);

	return error_set(err, ERR_CANCELLED,
		"not watching any more; the migration goes on: 'drover watch %s' shows it, "
		"'drover cancel %s' ends it",
		name, name);
}

int watch_until_end(struct cli *cli, const struct watched *watched,
	struct migration *out, struct error *err)
{
	struct look state = { .idle_since = clock_seconds() };
	struct progress progress;
	int result = 0;

	progress_open(&progress, watched->quiet);
	while (result == 0 && !state.ended) {
		if (cli_interrupted()) {
			result = stop_watching(watched, err);
		} else if (look(cli, watched, &state, out, err) < 0) {
			result = is_away(err) ? 0 : -1;
			cli_pause(cli, LOOK_EVERY_S);
		} else {
			if (state.found)
				progress_show(&progress, out);
			else
				progress_waiting(&progress);
			if (!state.ended)
				cli_pause(cli, LOOK_EVERY_S);
		}
	}
	progress_close(&progress);
	return result < 0 ? -1 : state.found;
}

static void say_moved(const struct watched *watched, const struct migration *m)
{
	char size[SIZE_TEXT_SIZE], copied[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE];
	const char *name = volume_label(&watched->volume);
	double seconds = m->copy_s > 0.001 ? m->copy_s : 0.001;

	text_size(size, (uint64_t)m->size_bytes);
	if (m->copied == 0) {
		cli_say("volume '%s' (%s) moved from %s to %s in %.1f s", name, size,
			m->source, m->target, m->age_s);
		return;
	}
	cli_say("volume '%s' (%s, %s of data) moved from %s to %s in %.1f s (%s/s)",
		name, size, text_size(copied, (uint64_t)m->copied), m->source,
		m->target, m->age_s,
		text_size(rate, (uint64_t)((double)m->copied / seconds)));
}

static int ended_badly(
	const struct watched *watched, const struct migration *m, struct error *err)
{
	const char *name = volume_label(&watched->volume);

	if (m->op.phase == PHASE_CANCELLED)
		return error_set(err, ERR_CANCELLED,
			"the migration of '%s' was cancelled; the volume is where it was",
			name);
	return error_set(err, ERR_BACKEND, "volume '%s' was not migrated: %s", name,
		m->op.reason[0] ? m->op.reason : "no reason is known");
}

/* Nothing is written down about it: the volume's host tells how it ended. */
static int report_host(
	struct cli *cli, const struct watched *watched, struct error *err)
{
	const char *name = volume_label(&watched->volume);
	struct volume now;
	int found = store_volume_get(cli->db, watched->volume.id, &now, err);

	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' was deleted meanwhile", name);
	if (strcmp(now.host, watched->volume.host) == 0)
		return error_set(err, ERR_BACKEND,
			"volume '%s' was not migrated: it is still on %s", name,
			now.host);
	if (cli_has(cli, OPT_JSON))
		cli_json(show_volume_json(&now));
	else
		cli_say("volume '%s' moved to %s", name, now.host);
	return 0;
}

int watch_report(struct cli *cli, const struct watched *watched, struct error *err)
{
	struct migration m;
	int found = watch_until_end(cli, watched, &m, err);

	if (found < 0)
		return -1;
	if (!found)
		return report_host(cli, watched, err);
	if (cli_has(cli, OPT_JSON))
		cli_json(show_migration_json(&m));
	if (m.op.phase != PHASE_DONE)
		return ended_badly(watched, &m, err);
	if (!cli_has(cli, OPT_JSON))
		say_moved(watched, &m);
	return 0;
}

int verb_watch(struct cli *cli, struct error *err)
{
	struct watched watched = { .quiet = cli_has(cli, OPT_JSON) };
	struct migration last;
	int found;

	if (cli_volume(cli, cli->words[0], &watched.volume, err) < 0 ||
		watch_prepare(cli, err) < 0)
		return -1;
	found = store_migration_last(cli->db, watched.volume.id, &last, err);
	if (found < 0)
		return -1;
	if (!found && !is_waiting(&watched.volume))
		return error_set(err, ERR_NOT_FOUND, "volume '%s' was never migrated",
			volume_label(&watched.volume));
	/* A request that nobody has taken yet comes after the last that ended. */
	if (found && phase_is_final(last.op.phase) && is_waiting(&watched.volume))
		watched.not_id = last.op.id;
	else if (found)
		watched.request_id = last.op.request_id;
	return watch_report(cli, &watched, err);
}
