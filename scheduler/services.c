/* SPDX-License-Identifier: Apache-2.0 */
/* What the scheduler says about services and pools: get_pools, validate_host_capacity,
 * work_cleanup. */
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/store/services.h"
#include "common/text.h"
#include "scheduler/scheduler.h"

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

int on_get_pools(void *arg, const struct rpc_request *request,
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

/* ---- validate_host_capacity ---- */

static int read_capacity_request(
	struct json_object *args, struct placement *out, struct error *err)
{
	struct json_object *spec, *volume, *type;

	if (json_get_string(args, "backend", &out->target, err) < 0 ||
		json_get_object(args, "request_spec", &spec, err) < 0)
		return -1;
	spec = object_data(spec);
	if (json_get_object(spec, "volume_properties", &volume, err) < 0 ||
		json_get_int(object_data(volume), "size", 0, INT32_MAX, &out->size_gib,
			err) < 0 ||
		get_object_or_null(spec, "volume_type", &type, err) < 0)
		return -1;
	return type
		? get_object_or_null(object_data(type), "extra_specs", &out->specs, err)
		: 0;
}

int on_validate_host_capacity(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct scheduler *s = arg;
	struct placement asked = { .own = true };
	const struct service *service;
	struct address address;
	struct facts facts;
	struct error why;
	struct pool *pool;
	bool fits;

	if (read_capacity_request(request->args, &asked, err) < 0 ||
		address_parse(asked.target, &address, err) < 0 ||
		scheduler_check_ready(s, err) < 0 || facts_read(s, &facts, err) < 0)
		return RPC_FAILED;
	fits = placement_choose(&facts.view, &asked, &pool, &service, &why) == 0;
	if (fits)
		pool->capacity.placed += (double)asked.size_gib;
	else
		log_info("no room on '%s' request=%s reason='%s'", asked.target,
			request->request_id, why.text);
	facts_clear(&facts);
	*result = json_object_new_boolean(fits);
	return RPC_DONE;
}

/* ---- work_cleanup ---- */

/* Which services are meant; NULL and -1: any. */
struct cleanup {
	const char *host, *binary, *cluster;
	int64_t service_id; /* 0: any */
	bool is_up, any_up, disabled, any_disabled;
};

static int read_choice(struct json_object *o, const char *key, bool *any, bool *value,
	struct error *err)
{
	*any = !json_object_object_get(o, key);
	return json_get_bool_or(o, key, false, value, err);
}

static int read_cleanup(
	struct json_object *args, struct cleanup *out, struct error *err)
{
	struct json_object *request;

	if (json_get_object(args, "cleanup_request", &request, err) < 0)
		return -1;
	request = object_data(request);
	if (json_get_string_or(request, "host", NULL, &out->host, err) < 0 ||
		json_get_string_or(request, "binary", NULL, &out->binary, err) < 0 ||
		json_get_string_or(request, "cluster_name", NULL, &out->cluster, err) <
			0 ||
		json_get_int_or(request, "service_id", 0, INT32_MAX, 0,
			&out->service_id, err) < 0 ||
		read_choice(request, "is_up", &out->any_up, &out->is_up, err) < 0)
		return -1;
	return read_choice(
		request, "disabled", &out->any_disabled, &out->disabled, err);
}

static bool is_meant(const struct cleanup *c, const struct service *s)
{
	return (!c->host || strcmp(c->host, s->host) == 0) &&
		(!c->binary || strcmp(c->binary, s->binary) == 0) && !c->cluster &&
		(!c->service_id || c->service_id == s->id) &&
		(c->any_up || c->is_up == s->up) &&
		(c->any_disabled || c->disabled == s->disabled);
}

static struct json_object *service_object(const struct service *s)
{
	struct json_object *o = json_object_new_object();
	struct json_object *data = json_object_new_object();

	json_add_int(data, "id", s->id);
	json_add_string(data, "host", s->host);
	json_add_string(data, "binary", s->binary);
	json_add_string(data, "topic", s->binary);
	json_add(data, "cluster_name", NULL);
	json_add_bool(data, "disabled", s->disabled);
	json_add_bool(data, "frozen", s->frozen);
	json_add_string(data, "availability_zone", s->availability_zone);
	json_add_string(data, "uuid", s->uuid);
	json_add_string(o, "versioned_object.name", "Service");
	json_add_string(o, "versioned_object.namespace", "cinder");
	json_add_string(o, "versioned_object.version", "1.6");
	json_add(o, "versioned_object.data", data);
	return o;
}

/* The request as one service gets it: about itself. */
static int cast_cleanup(struct scheduler *s, const struct rpc_request *request,
	const struct service *service, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	struct json_object *copy = NULL, *data;

	json_object_deep_copy(
		json_object_object_get(request->args, "cleanup_request"), &copy, NULL);
	json_add(args, "cleanup_request", copy);
	data = object_data(copy);
	json_add_int(data, "service_id", service->id);
	json_add_string(data, "host", service->host);
	json_add_string(data, "binary", service->binary);
	return request_cast(s, request, service->host, "do_cleanup", "3.7", args, err);
}

/* Our own services find what was cut off by its rows, without being asked; a
 * cinder-volume is asked. Of those that are down nobody can be. */
static bool ask_to_clean_up(struct scheduler *s, const struct rpc_request *request,
	const struct service *service)
{
	struct error err;

	if (strcmp(service->binary, SCHEDULER_BINARY) == 0)
		return true;
	if (!service->up)
		return false;
	if (service->drover || strcmp(service->binary, VOLUME_BINARY) != 0)
		return true;
	if (cast_cleanup(s, request, service, &err) == 0)
		return true;
	log_warning("cannot ask for a clean-up host=%s reason='%s'", service->host,
		err.text);
	return false;
}

/* Two lists: of services that were asked, and of those that could not be. */
int on_work_cleanup(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct json_object *asked, *silent;
	struct scheduler *s = arg;
	struct cleanup cleanup;
	struct facts facts;

	if (read_cleanup(request->args, &cleanup, err) < 0 ||
		scheduler_check_ready(s, err) < 0 || facts_read(s, &facts, err) < 0)
		return RPC_FAILED;
	asked = json_object_new_array();
	silent = json_object_new_array();
	for (size_t i = 0; i < facts.view.service_count; i++) {
		const struct service *service = &facts.services[i];

		if (is_meant(&cleanup, service))
			json_object_array_add(
				ask_to_clean_up(s, request, service) ? asked : silent,
				service_object(service));
	}
	facts_clear(&facts);
	*result = json_object_new_array();
	json_object_array_add(*result, asked);
	json_object_array_add(*result, silent);
	return RPC_DONE;
}
