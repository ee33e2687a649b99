/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: is the installation sound; may Cinder's own services take over again? */
#include "cli/verbs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/fields.h"
#include "cli/table.h"
#include "common/store/doctor.h"
#include "common/store/schema.h"
#include "common/store/services.h"

static void obstacles_json(const struct obstacle *list, int count)
{
	struct json_object *all = json_object_new_array();

	for (int i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();

		json_add_string(o, "kind", list[i].kind);
		fields_text(o, "name", list[i].name);
		fields_text(o, "what", list[i].what);
		fields_text(o, "next", list[i].next);
		json_object_array_add(all, o);
	}
	cli_json(all);
}

static void say_obstacle(const struct obstacle *one)
{
	cli_say("%s %s %s", one->kind, one->name, one->what);
	cli_say("    next: %s", one->next);
}

static int ready_to_leave(struct cli *cli, struct error *err)
{
	AUTO(free) struct obstacle *list = NULL;
	int count = store_obstacles(cli->db, &list, err);

	if (count < 0)
		return -1;
	if (cli_has(cli, OPT_JSON))
		obstacles_json(list, count);
	else
		for (int i = 0; i < count; i++)
			say_obstacle(&list[i]);
	if (count > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"not ready to leave: %d thing%s in the way", count,
			count == 1 ? " is" : "s are");
	if (!cli_has(cli, OPT_JSON))
		cli_say("ready to leave: cinder-scheduler and cinder-volume may be "
			"started");
	return 0;
}

/* ---- is all well? ---- */

struct findings {
	struct json_object *list;
	int wrong;
};

static void finding(struct findings *findings, bool good, const char *what,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

static void finding(
	struct findings *findings, bool good, const char *what, const char *format, ...)
{
	struct json_object *o = json_object_new_object();
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_add_string(o, "what", what);
	json_add_bool(o, "ok", good);
	fields_text(o, "text", text);
	json_object_array_add(findings->list, o);
	findings->wrong += !good;
}

static void look_at_services(struct cli *cli, struct findings *findings)
{
	AUTO(free) struct service *list = NULL;
	int schedulers = 0, managers = 0, count;
	struct error err;

	count = store_service_list(
		cli->db, cli->settings->service_down_time, &list, &err);
	if (count < 0) {
		finding(findings, false, "services", "%s", err.text);
		return;
	}
	for (int i = 0; i < count; i++) {
		const struct service *one = &list[i];
		bool volume = strcmp(one->binary, VOLUME_BINARY) == 0;

		if (one->up && strcmp(one->binary, SCHEDULER_BINARY) == 0)
			schedulers++;
		if (one->up && volume)
			managers++;
		if (!one->up && !one->disabled)
			finding(findings, false, "service",
				"%s on %s is down since %s: start it, or disable it",
				one->binary, one->host, one->updated_at);
	}
	finding(findings, schedulers > 0, "services",
		schedulers > 0 ? "%d scheduler%s up"
			       : "no scheduler is up (%d%s): start drover-scheduler",
		schedulers, schedulers == 1 ? "" : "s");
	finding(findings, managers > 0, "services",
		managers > 0 ? "%d backend%s up"
			     : "no backend is up (%d%s): start drover-volume-manager",
		managers, managers == 1 ? "" : "s");
}

static void look_at_broker(struct cli *cli, struct findings *findings)
{
	struct error err;

	if (cli_broker(cli, &err) < 0)
		finding(findings, false, "broker", "%s", err.text);
	else
		finding(findings, true, "broker", "it takes our messages");
}

static int all_well(struct cli *cli, struct findings *findings, struct error *err)
{
	AUTO(free) struct obstacle *list = NULL;
	struct error why;
	int count;

	look_at_broker(cli, findings);
	if (cli_database(cli, &why) < 0 || schema_check(cli->db, &why) < 0) {
		finding(findings, false, "database", "%s", why.text);
		return 0;
	}
	finding(findings, true, "database", "its tables are complete and current");
	look_at_services(cli, findings);
	count = store_troubles(cli->db, &list, err);
	for (int i = 0; i < count; i++)
		finding(findings, false, list[i].kind, "%s %s", list[i].name,
			list[i].what);
	if (count == 0)
		finding(findings, true, "work", "nothing fails again and again");
	return count < 0 ? -1 : 0;
}

static void say_findings(struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		const char *what =
			json_object_get_string(json_object_object_get(o, "what"));
		const char *text =
			json_object_get_string(json_object_object_get(o, "text"));
		bool good = json_object_get_boolean(json_object_object_get(o, "ok"));

		cli_say("%-5s %s: %s", good ? "ok" : "WRONG", what, text);
	}
}

static int look_around(struct cli *cli, struct error *err)
{
	AUTO(json_object_put) struct json_object *list = json_object_new_array();
	struct findings findings = { list, 0 };

	if (all_well(cli, &findings, err) < 0)
		return -1;
	if (cli_has(cli, OPT_JSON))
		cli_json(json_object_get(list));
	else
		say_findings(list);
	if (findings.wrong == 0)
		return 0;
	return error_set(err, ERR_BACKEND, "%d thing%s wrong", findings.wrong,
		findings.wrong == 1 ? " is" : "s are");
}

int verb_doctor(struct cli *cli, struct error *err)
{
	if (!cli_has(cli, OPT_READY_TO_LEAVE))
		return cli_settings(cli, err) < 0 ? -1 : look_around(cli, err);
	if (cli_database(cli, err) < 0 || schema_check(cli->db, err) < 0)
		return -1;
	return ready_to_leave(cli, err);
}
