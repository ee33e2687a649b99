/* SPDX-License-Identifier: Apache-2.0 */
/* migrate, cancel */
#include "cli/verbs.h"

#include <string.h>

#include "cli/fields.h"
#include "cli/rate.h"
#include "cli/versioned.h"
#include "cli/watch.h"
#include "common/store/compute.h"
#include "common/store/migrations.h"

/* The cast failed: what begin wrote is taken back and the reason kept. */
static int refuse(struct cli *cli, const struct volume *volume, const char *request_id,
	struct error *err)
{
	struct migration_request request = {
		.volume_id = volume->id,
		.request_id = request_id,
		.target = cli->words[1] ? cli->words[1] : "",
		.force_host_copy = cli_has(cli, OPT_FORCE_HOST_COPY),
		.service_down_time = cli->settings->service_down_time,
		.keep_result = cli->settings->migration_result_keep,
	};
	struct error why = *err;
	struct error second;

	if (store_migration_refuse(cli->db, &request, &why, &second) < 0)
		return error_set(err, why.code,
			"%.300s; and the volume is still marked "
			"as starting: %.300s",
			why.text, second.text);
	return error_context(err, "volume '%s' was not migrated", volume_label(volume));
}

static int cast(struct cli *cli, const struct volume *volume, const char *request_id,
	struct error *err)
{
	AUTO(json_object_put) struct json_object *args = NULL;
	AUTO(free) struct detail *specs = NULL;
	int count = store_type_spec_list(cli->db, volume->volume_type_id, &specs, err);

	if (count < 0)
		return -1;
	args = versioned_migrate(
		volume, cli->words[1], cli_has(cli, OPT_FORCE_HOST_COPY), specs, count);
	return cli_cast(cli, "migrate_volume", "3.3", request_id, args, err);
}

/* The volume is marked as starting and a scheduler has been asked. */
static int begin(struct cli *cli, struct volume *volume,
	const struct migration_wish *wish, struct error *err)
{
	const char *request_id = wish->request_id;
	char id[UUID_TEXT_SIZE];

	memcpy(id, volume->id, sizeof(id));
	if (store_migration_begin_with(cli->db, id, cli->words[1],
		    cli_has(cli, OPT_LOCK_VOLUME), cli->settings->service_down_time,
		    cli_has(cli, OPT_RATE) ? wish : NULL, err) < 0)
		return -1;
	if (store_volume_get(cli->db, id, volume, err) < 0 ||
		cast(cli, volume, request_id, err) < 0)
		return refuse(cli, volume, request_id, err);
	return 0;
}

static void say_begun(
	struct cli *cli, const struct volume *volume, const char *request_id)
{
	const char *target = cli->words[1];
	struct json_object *o;

	if (!cli_has(cli, OPT_JSON)) {
		cli_say("volume '%s' is on its way to %s; 'drover watch %s' shows it",
			volume_label(volume), target ? target : "the best backend",
			volume_label(volume));
		return;
	}
	o = json_object_new_object();
	json_add_string(o, "volume_id", volume->id);
	json_add_string(o, "request_id", request_id);
	fields_text(o, "target", target ? target : "");
	cli_json(o);
}

int verb_migrate(struct cli *cli, struct error *err)
{
	struct watched watched = {
		.quiet = cli_has(cli, OPT_NO_PROGRESS) || cli_has(cli, OPT_JSON),
	};
	char request_id[REQUEST_TEXT_SIZE];
	struct migration_wish wish = { .request_id = request_id };

	request_id_make(request_id);
	watched.request_id = request_id;
	if (cli_has(cli, OPT_RATE) &&
		rate_from_text(cli->options.value[OPT_RATE], &wish.rate_limit, err) < 0)
		return error_context(err, "--rate");
	if (cli_volume(cli, cli->words[0], &watched.volume, err) < 0)
		return -1;
	/* Connected first: without a broker nothing is changed. */
	if (cli_broker(cli, err) < 0)
		return error_context(err, "volume '%s' was not migrated",
			volume_label(&watched.volume));
	if (cli_has(cli, OPT_WAIT) && watch_prepare(cli, err) < 0)
		return -1;
	if (begin(cli, &watched.volume, &wish, err) < 0)
		return -1;
	if (cli_has(cli, OPT_WAIT))
		return watch_report(cli, &watched, err);
	say_begun(cli, &watched.volume, request_id);
	return 0;
}

static int wait_cancelled(struct cli *cli, struct watched *watched, struct error *err)
{
	struct migration m;
	int found = watch_until_end(cli, watched, &m, err);

	if (found < 0)
		return -1;
	if (found && m.op.phase == PHASE_DONE)
		return error_set(err, ERR_INVALID_VOLUME,
			"too late: volume '%s' had moved to '%s' already",
			volume_label(&watched->volume), m.target);
	cli_say("the migration of '%s' is cancelled; the volume is where it was",
		volume_label(&watched->volume));
	return 0;
}

/* 1: by then only Compute could end it, and cannot. */
static int is_too_late(struct cli *cli, const struct migration *m, struct error *err)
{
	struct swap swap;
	int found;

	if (m->op.phase != PHASE_SWAPPING && m->op.phase != PHASE_HELD)
		return 0;
	found = store_swap_read(cli->db, m, &swap, err);
	return found < 0 ? -1 : !swap.rpc;
}

int verb_cancel(struct cli *cli, struct error *err)
{
	struct watched watched = { .quiet = true };
	struct migration last;
	int found, late = 0;

	if (cli_volume(cli, cli->words[0], &watched.volume, err) < 0 ||
		watch_prepare(cli, err) < 0)
		return -1;
	found = store_migration_last(cli->db, watched.volume.id, &last, err);
	if (found > 0)
		late = is_too_late(cli, &last, err);
	if (found < 0 || late < 0 ||
		store_migration_cancel(cli->db, watched.volume.id, err) < 0)
		return -1;
	watched.request_id = found ? last.op.request_id : NULL;
	if (cli_has(cli, OPT_WAIT))
		return wait_cancelled(cli, &watched, err);
	if (late) {
		cli_say("noted, but Compute cannot end what it has begun for '%s': the "
			"volume stays where it is only if that fails",
			volume_label(&watched.volume));
		return 0;
	}
	cli_say("the migration of '%s' will be cancelled",
		volume_label(&watched.volume));
	return 0;
}
