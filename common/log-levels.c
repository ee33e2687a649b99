/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log-levels.h"

#include <string.h>
#include <strings.h>

#include "common/log.h"

#define LOGGER "cinder"

static const char *const names[] = {
	[LOG_LEVEL_DEBUG] = "DEBUG",
	[LOG_LEVEL_INFO] = "INFO",
	[LOG_LEVEL_WARNING] = "WARNING",
	[LOG_LEVEL_ERROR] = "ERROR",
};

/* Loggers whose names begin with the prefix are meant. */
static int read_request(struct json_object *args, struct json_object **data,
	bool *is_meant, struct error *err)
{
	struct json_object *log_request, *inner = NULL;
	const char *prefix;

	if (json_get_object(args, "log_request", &log_request, err) < 0)
		return -1;
	json_object_object_get_ex(log_request, "versioned_object.data", &inner);
	*data = json_object_is_type(inner, json_type_object) ? inner : log_request;
	if (json_get_string_or(*data, "prefix", "", &prefix, err) < 0)
		return -1;
	*is_meant = strncmp(LOGGER, prefix, strlen(prefix)) == 0;
	return 0;
}

int log_levels_set(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct json_object *data;
	const char *level;
	bool is_meant;

	if (read_request(request->args, &data, &is_meant, err) < 0 ||
		json_get_string(data, "level", &level, err) < 0)
		return RPC_FAILED;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcasecmp(names[i], level) != 0)
			continue;
		if (!is_meant)
			return RPC_DONE;
		log_info("log level is now %s", names[i]);
		log_set_level((enum log_level)i);
		return RPC_DONE;
	}
	return error_set(
		err, ERR_INVALID_INPUT, "'%.32s' is not a valid log level", level);
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

static struct json_object *own_level(void)
{
	struct json_object *data = json_object_new_object();
	struct json_object *changes = json_object_new_array();
	struct json_object *o;

	json_add_string(data, "prefix", LOGGER);
	json_add_string(data, "level", names[log_get_level()]);
	json_object_array_add(changes, json_object_new_string("prefix"));
	json_object_array_add(changes, json_object_new_string("level"));
	o = cinder_object("LogLevel", data);
	json_add(o, "versioned_object.changes", changes);
	return o;
}

int log_levels_get(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct json_object *data, *list, *objects;
	bool is_meant;

	if (read_request(request->args, &data, &is_meant, err) < 0)
		return RPC_FAILED;
	list = json_object_new_object();
	objects = json_object_new_array();
	if (is_meant)
		json_object_array_add(objects, own_level());
	json_add(list, "objects", objects);
	*result = cinder_object("LogLevelList", list);
	return RPC_DONE;
}
