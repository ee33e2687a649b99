/* SPDX-License-Identifier: Apache-2.0 */
/* The RPC methods of the topic cinder-scheduler, 3.12. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/store/services.h"
#include "common/text.h"
#include "scheduler/scheduler.h"

/* ---- reports ---- */

static int on_report(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct scheduler *s = arg;
	int taken = pools_report(&s->pools, request->args,
		s->settings->max_over_subscription_ratio, clock_seconds(), err);

	if (taken < 0)
		return RPC_FAILED;
	if (taken && s->held.first)
		held_retry(s);
	return RPC_DONE;
}

/* ---- requests ---- */

static int on_create_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return held_run(arg, create_volume, request, err);
}

static int on_migrate_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return held_run(arg, migrate_volume, request, err);
}

/* A request that is not served, but changed the row before it came here. */
static int put_back(struct scheduler *s, const struct rpc_request *request,
	const char *status, struct json_object *reservations_of, const char *key,
	struct error *err)
{
	AUTO(free) const char **reservations = NULL;
	const char *id;

	if (request_volume_id(request->args, &id, err) < 0 ||
		(reservations_of &&
			get_strings(reservations_of, key, &reservations, err) < 0) ||
		scheduler_check_ready(s, err) < 0 ||
		store_volume_put_back(s->db, id, status, reservations, err) < 0)
		return RPC_FAILED;
	return error_set(err, ERR_NOT_SUPPORTED,
		"'%s' is not supported by this service: volume '%s' is what it was",
		request->method, id);
}

static int on_extend_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	return put_back(arg, request, "extending", request->args, "reservations", err);
}

static int on_retype(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct json_object *spec;

	if (get_object_or_null(request->args, "request_spec", &spec, err) < 0)
		return RPC_FAILED;
	return put_back(arg, request, "retyping", spec ? object_data(spec) : NULL,
		"quota_reservations", err);
}

/* No service needs cleaning up by a scheduler: operations are rows. As Cinder answers
 * when it finds none: [requested, not requested]. */
static int on_work_cleanup(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	*result = json_object_new_array();
	json_object_array_add(*result, json_object_new_array());
	json_object_array_add(*result, json_object_new_array());
	return RPC_DONE;
}

/* ---- get_pools ---- */

static bool names_truth(const char *text)
{
	static const char *const words[] = { "1", "t", "true", "on", "y", "yes" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(words[i], text) == 0)
			return true;
	return false;
}

/* Filters come from a query string, so that all but texts are compared by their text. */
static bool capability_equals(
	struct json_object *capability, struct json_object *wanted)
{
	const char *text = json_object_get_string(wanted);

	if (!capability || !text)
		return !capability && !wanted;
	if (json_object_is_type(capability, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(capability); i++)
			if (capability_equals(
				    json_object_array_get_idx(capability, i), wanted))
				return true;
		return false;
	}
	if (json_object_is_type(capability, json_type_boolean))
		return json_object_get_boolean(capability) == names_truth(text);
	if (json_object_is_type(capability, json_type_int) ||
		json_object_is_type(capability, json_type_double)) {
		double number;

		return text_to_double(text, &number, NULL) == 0 &&
			number == json_object_get_double(capability);
	}
	return strcmp(json_object_get_string(capability), text) == 0;
}

static bool passes(const char *address, struct json_object *capabilities,
	struct json_object *filters)
{
	struct json_object *value;

	if (!filters)
		return true;
	json_object_object_foreach(filters, key, wanted)
	{
		if (strcmp(key, "volume_type") == 0)
			continue;
		if (strcmp(key, "name") == 0) {
			const char *name = json_object_get_string(wanted);

			if (name && strcmp(name, address) != 0)
				return false;
			continue;
		}
		if (!json_object_object_get_ex(capabilities, key, &value) ||
			!capability_equals(value, wanted))
			return false;
	}
	return true;
}

static int add_pool(const struct pool *pool, struct json_object *filters,
	struct json_object *list, struct error *err)
{
	AUTO(json_object_put) struct json_object *capabilities = NULL;
	struct json_object *shown;

	if (json_parse(pool->capabilities, strlen(pool->capabilities), &capabilities,
		    err) < 0)
		return -1;
	if (!passes(pool->address, capabilities, filters))
		return 0;
	shown = json_object_new_object();
	json_add_string(shown, "name", pool->address);
	json_add(shown, "capabilities", steal(capabilities));
	json_object_array_add(list, shown);
	return 0;
}

static int add_pools(const struct view *view, struct json_object *filters,
	struct json_object *list, struct error *err)
{
	for (size_t i = 0; i < view->pools->count; i++) {
		const struct backend *b = &view->pools->backends[i];
		const struct service *service = view_service(view, b->name);

		if (!service || !service_is_usable(service))
			continue;
		for (size_t j = 0; j < b->count; j++)
			if (add_pool(&b->pools[j], filters, list, err) < 0)
				return -1;
	}
	return 0;
}

static int on_get_pools(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	AUTO(json_object_put) struct json_object *list = json_object_new_array();
	struct scheduler *s = arg;
	struct json_object *filters;
	struct facts facts;
	int rc;

	if (get_object_or_null(request->args, "filters", &filters, err) < 0 ||
		scheduler_check_ready(s, err) < 0 || facts_read(s, &facts, err) < 0)
		return RPC_FAILED;
	rc = add_pools(&facts.view, filters, list, err);
	facts_clear(&facts);
	if (rc < 0)
		return RPC_FAILED;
	*result = steal(list);
	return RPC_DONE;
}

/* ---- log levels ---- */

static int on_set_log_levels(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	static const char *const names[] = { [LOG_LEVEL_DEBUG] = "DEBUG",
		[LOG_LEVEL_INFO] = "INFO",
		[LOG_LEVEL_WARNING] = "WARNING",
		[LOG_LEVEL_ERROR] = "ERROR" };
	struct scheduler *s = arg;
	struct json_object *log_request;
	const char *level;

	if (json_get_object(request->args, "log_request", &log_request, err) < 0 ||
		json_get_string(object_data(log_request), "level", &level, err) < 0)
		return RPC_FAILED;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcasecmp(names[i], level) != 0)
			continue;
		log_info("log level is now %s", names[i]);
		log_set_level((enum log_level)i);
		snprintf(s->log_level, sizeof(s->log_level), "%s", names[i]);
		return RPC_DONE;
	}
	return error_set(err, ERR_INVALID_INPUT, "'%.32s' is no log level", level);
}

static struct json_object *cinder_object(const char *name, struct json_object *data)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "versioned_object.name", name);
	json_add_string(o, "versioned_object.namespace", "cinder");
	json_add_string(o, "versioned_object.version", "1.0");
	json_add(o, "versioned_object.data", data);
	return o;
}

/* One level for the whole program, under the name of Cinder's top logger. */
static int on_get_log_levels(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	const struct scheduler *s = arg;
	struct json_object *level = json_object_new_object();
	struct json_object *list = json_object_new_object();
	struct json_object *objects = json_object_new_array();

	json_add_string(level, "prefix", "cinder");
	json_add_string(level, "level", s->log_level);
	json_object_array_add(objects, cinder_object("LogLevel", level));
	json_add(list, "objects", objects);
	*result = cinder_object("LogLevelList", list);
	return RPC_DONE;
}

const struct rpc_method scheduler_methods[] = {
	{ "create_volume", on_create_volume },
	{ "migrate_volume", on_migrate_volume },
	{ "migrate_volume_to_host", on_migrate_volume },
	{ "update_service_capabilities", on_report },
	{ "notify_service_capabilities", on_report },
	{ "get_pools", on_get_pools },
	{ "extend_volume", on_extend_volume },
	{ "retype", on_retype },
	{ "work_cleanup", on_work_cleanup },
	{ "set_log_levels", on_set_log_levels },
	{ "get_log_levels", on_get_log_levels },
	{ "create_snapshot", NULL },
	{ "manage_existing", NULL },
	{ "manage_existing_snapshot", NULL },
	{ "validate_host_capacity", NULL },
	{ "create_group", NULL },
	{ "create_backup", NULL },
	{ "do_cleanup", NULL },
	{ NULL, NULL },
};
