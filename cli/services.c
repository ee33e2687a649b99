/* SPDX-License-Identifier: Apache-2.0 */
/* service list, host list, pool list: who is there, and with how much room */
#include "cli/verbs.h"

#include <string.h>

#include "cli/fields.h"
#include "cli/table.h"
#include "common/store/services.h"

static int services(struct cli *cli, struct service **list, struct error *err)
{
	if (cli_database(cli, err) < 0)
		return -1;
	return store_service_list(cli->db, cli->settings->service_down_time, list, err);
}

static void service_json(const struct service *list, int count)
{
	struct json_object *all = json_object_new_array();

	for (int i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();

		fields_text(o, "binary", list[i].binary);
		fields_text(o, "host", list[i].host);
		fields_text(o, "zone", list[i].availability_zone);
		json_add_string(o, "status", list[i].disabled ? "disabled" : "enabled");
		json_add_string(o, "state", list[i].up ? "up" : "down");
		fields_text(o, "updated_at", list[i].updated_at);
		fields_text(o, "disabled_reason", list[i].disabled_reason);
		json_add_bool(o, "frozen", list[i].frozen);
		json_add_bool(o, "drover", list[i].drover);
		json_object_array_add(all, o);
	}
	cli_json(all);
}

static void service_table(const struct service *list, int count)
{
	AUTO(table_free)
	struct table *table = TABLE("Binary", "Host", "Zone", "Status", "State",
		"Updated_at", "Disabled Reason");

	for (int i = 0; i < count; i++) {
		table_add(table, list[i].binary);
		table_add(table, list[i].host);
		table_add(table, list[i].availability_zone);
		table_add(table, list[i].disabled ? "disabled" : "enabled");
		table_add(table, list[i].up ? "up" : "down");
		table_add(table, text_or_none(list[i].updated_at));
		table_add(table, text_or_none(list[i].disabled_reason));
	}
	table_print(table, stdout);
}

int verb_service_list(struct cli *cli, struct error *err)
{
	AUTO(free) struct service *list = NULL;
	int count = services(cli, &list, err);

	if (count < 0)
		return -1;
	if (cli_has(cli, OPT_JSON))
		service_json(list, count);
	else
		service_table(list, count);
	return 0;
}

static bool was_named_before(const struct service *list, int number)
{
	for (int i = 0; i < number; i++)
		if (strcmp(list[i].host, list[number].host) == 0)
			return true;
	return false;
}

/* As 'cinder-manage host list' prints a line. */
static void print_host(const char *host, const char *zone)
{
	AUTO(free) char *printable_host = text_printable(host);
	AUTO(free) char *printable_zone = text_printable(zone);

	printf("%-25s\t%-15s\n", printable_host, printable_zone);
}

static void host_lines(const struct service *list, int count)
{
	print_host("host", "zone");
	for (int i = 0; i < count; i++)
		if (!was_named_before(list, i))
			print_host(list[i].host, list[i].availability_zone);
}

static void host_json(const struct service *list, int count)
{
	struct json_object *all = json_object_new_array();

	for (int i = 0; i < count; i++) {
		struct json_object *o;

		if (was_named_before(list, i))
			continue;
		o = json_object_new_object();
		fields_text(o, "host", list[i].host);
		fields_text(o, "zone", list[i].availability_zone);
		json_object_array_add(all, o);
	}
	cli_json(all);
}

int verb_host_list(struct cli *cli, struct error *err)
{
	AUTO(free) struct service *list = NULL;
	int count = services(cli, &list, err);

	if (count < 0)
		return -1;
	if (cli_has(cli, OPT_JSON))
		host_json(list, count);
	else
		host_lines(list, count);
	return 0;
}

/* A capability for people: numbers short, "infinite" and "unknown" as they are. */
static void add_capability(
	struct table *table, struct json_object *capabilities, const char *key)
{
	struct json_object *value = NULL;
	char text[64];

	if (!json_object_object_get_ex(capabilities, key, &value) || !value) {
		table_add(table, NULL);
	} else if (json_object_is_type(value, json_type_double)) {
		snprintf(text, sizeof(text), "%.2f", json_object_get_double(value));
		table_add(table, text);
	} else {
		table_add(table, json_object_get_string(value));
	}
}

static int add_pool(struct table *table, struct json_object *pool, struct error *err)
{
	static const char *const keys[] = { "total_capacity_gb", "free_capacity_gb",
		"allocated_capacity_gb", "provisioned_capacity_gb",
		"reserved_percentage", "max_over_subscription_ratio",
		"volume_backend_name" };
	struct json_object *capabilities;
	const char *name;

	if (json_get_string(pool, "name", &name, err) < 0 ||
		json_get_object(pool, "capabilities", &capabilities, err) < 0)
		return error_context(err, "read the scheduler's answer");
	table_add(table, name);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		add_capability(table, capabilities, keys[i]);
	return 0;
}

static int pool_table(struct json_object *pools, struct error *err)
{
	AUTO(table_free)
	struct table *table = TABLE("Name", "Total GiB", "Free GiB", "Allocated GiB",
		"Provisioned GiB", "Reserved %", "Over-subscription", "Backend");

	for (size_t i = 0; i < json_object_array_length(pools); i++)
		if (add_pool(table, json_object_array_get_idx(pools, i), err) < 0)
			return -1;
	table_print(table, stdout);
	return 0;
}

int verb_pool_list(struct cli *cli, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	AUTO(json_object_put) struct json_object *pools = NULL;

	if (cli_broker(cli, err) < 0)
		return -1;
	json_add(args, "filters", json_object_new_object());
	if (rpc_client_call(cli->rpc, SCHEDULER_BINARY, NULL, "get_pools", "3.0", args,
		    &pools, err) < 0) {
		if (err->code == ERR_UNROUTABLE)
			error_set(err, ERR_UNROUTABLE,
				"no scheduler is running: start drover-scheduler");
		return error_context(err, "ask for the pools");
	}
	if (!json_object_is_type(pools, json_type_array))
		return error_set(err, ERR_INVALID_INPUT,
			"the scheduler's answer is no list of pools");
	if (!cli_has(cli, OPT_JSON))
		return pool_table(pools, err);
	cli_json(steal(pools));
	return 0;
}
