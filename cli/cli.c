/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/table.h"
#include "common/store/operations.h"
#include "common/store/services.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signum)
{
	interrupted = 1;
}

void cli_catch_interrupt(void)
{
	struct sigaction action = { .sa_handler = on_interrupt };

	sigaction(SIGINT, &action, NULL);
}

bool cli_interrupted(void)
{
	return interrupted;
}

void cli_clear(struct cli *cli)
{
	auto_rpc_client_close(&cli->rpc);
	auto_db_free(&cli->db);
	auto_settings_free(&cli->settings);
	options_clear(&cli->options);
}

bool cli_has(const struct cli *cli, enum option_id id)
{
	return options_has(&cli->options, id);
}

int cli_settings(struct cli *cli, struct error *err)
{
	if (cli->settings)
		return 0;
	return settings_load(cli->options.config_files, cli->options.config_file_count,
		&cli->settings, err);
}

int cli_database(struct cli *cli, struct error *err)
{
	AUTO(db_free) struct db *db = NULL;

	if (cli->db)
		return 0;
	if (cli_settings(cli, err) < 0)
		return -1;
	if (!cli->settings->conninfo)
		return error_set(err, ERR_CONFIG,
			"the configuration names no database: set connection in "
			"[database]");
	if (db_new(cli->settings->conninfo, "drover", &db, err) < 0)
		return -1;
	if (db_connect(db, err) < 0)
		return -1;
	cli->db = steal(db);
	return 0;
}

int cli_broker(struct cli *cli, struct error *err)
{
	if (cli->rpc)
		return 0;
	if (cli_settings(cli, err) < 0)
		return -1;
	return rpc_client_open(&cli->settings->rpc, &cli->rpc, err);
}

int cli_cast(struct cli *cli, const char *method, const char *version,
	const char *request_id, struct json_object *args, struct error *err)
{
	if (rpc_client_cast(cli->rpc, SCHEDULER_BINARY, NULL, method, version,
		    request_id, args, err) == 0)
		return 0;
	if (err->code == ERR_UNROUTABLE)
		return error_set(err, ERR_UNROUTABLE,
			"no scheduler is running: start drover-scheduler");
	return -1;
}

int cli_volume(
	struct cli *cli, const char *id_or_name, struct volume *out, struct error *err)
{
	if (cli_database(cli, err) < 0)
		return -1;
	return store_volume_find(cli->db, id_or_name, out, err);
}

const char *volume_label(const struct volume *volume)
{
	return volume->display_name[0] ? volume->display_name : volume->id;
}

void request_id_make(char out[REQUEST_TEXT_SIZE])
{
	char uuid[UUID_TEXT_SIZE];

	uuid_make(uuid);
	snprintf(out, REQUEST_TEXT_SIZE, "req-%s", uuid);
}

void cli_say(const char *format, ...)
{
	AUTO(free) char *text = NULL;
	AUTO(free) char *printable = NULL;
	va_list args;

	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		abort();
	printable = text_printable(text);
	puts(printable);
	fflush(stdout);
}

void cli_json(struct json_object *document)
{
	AUTO(json_object_put) struct json_object *o = document;
	AUTO(free) char *text = json_text_pretty(o);

	if (!text)
		abort();
	puts(text);
}

void cli_pause(struct cli *cli, double seconds)
{
	struct pollfd waiting = { .fd = db_fd(cli->db), .events = POLLIN };
	char channel[64], payload[64];

	/* Without a connection the descriptor is -1 and poll only sleeps. */
	poll(&waiting, 1, (int)(seconds * 1000));
	while (db_notification(
		cli->db, channel, sizeof(channel), payload, sizeof(payload)))
		;
}
