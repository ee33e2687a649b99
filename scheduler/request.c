/* SPDX-License-Identifier: Apache-2.0 */
/* What requests have in common: whom they are about, and what a decision rests on. */
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/log.h"
#include "common/store/migrations.h"
#include "common/store/services.h"
#include "common/text.h"
#include "scheduler/scheduler.h"

/* How long a request waits for a backend that is up to report its pools. */
#define REPORT_WAIT_S 20

bool error_is_temporary(const struct error *err)
{
	return err->code == ERR_DB_UNAVAILABLE || err->code == ERR_DB_UNKNOWN ||
		err->code == ERR_DB_RETRY;
}

bool error_must_wait(const struct error *err)
{
	return error_is_temporary(err) || err->code == ERR_BROKER;
}

int scheduler_check_ready(const struct scheduler *s, struct error *err)
{
	return s->ready
		? 0
		: error_set(err, ERR_DB_UNAVAILABLE, "the database is not ready");
}

void facts_clear(struct facts *facts)
{
	free(facts->services);
	free(facts->reservations);
	free(facts->load);
	*facts = (struct facts) { .services = NULL };
}

int facts_read(struct scheduler *s, struct facts *out, struct error *err)
{
	struct facts f = { .view.pools = &s->pools };
	int services, reservations, load;

	services = store_service_list(
		s->db, s->settings->service_down_time, &f.services, err);
	if (services < 0)
		return -1;
	reservations = store_migration_reservations(s->db, &f.reservations, err);
	load = reservations < 0 ? -1 : store_pool_load(s->db, &f.load, err);
	if (load < 0) {
		facts_clear(&f);
		return -1;
	}
	f.view.load = f.load;
	f.view.load_count = (size_t)load;
	f.view.services = f.services;
	f.view.service_count = (size_t)services;
	f.view.reservations = f.reservations;
	f.view.reservation_count = (size_t)reservations;
	f.view.policy = &s->policy;
	*out = f;
	return 0;
}

static bool is_missed(
	struct scheduler *s, const struct service *service, const char *target)
{
	struct address address;
	const struct backend *b;

	if (strcmp(service->binary, VOLUME_BINARY) != 0 ||
		!service_is_usable(service) ||
		(target && !address_same_backend(target, service->host)) ||
		address_parse(service->host, &address, NULL) < 0)
		return false;
	b = pools_backend(&s->pools, service->host);
	if (b && b->timestamp[0])
		return false;
	double now = clock_seconds();

	return now - pools_missed(&s->pools, service->host, now) < REPORT_WAIT_S;
}

bool scheduler_misses_reports(
	struct scheduler *s, const struct view *view, const char *target)
{
	bool missed = false;

	if (s->stopping)
		return false;
	for (size_t i = 0; i < view->service_count; i++)
		missed = is_missed(s, &view->services[i], target) || missed;
	if (missed)
		scheduler_ask_for_reports(s);
	return missed;
}

struct json_object *object_data(struct json_object *o)
{
	struct json_object *data = NULL;

	json_object_object_get_ex(o, "versioned_object.data", &data);
	return json_object_is_type(data, json_type_object) ? data : o;
}

int get_object_or_null(struct json_object *o, const char *key, struct json_object **out,
	struct error *err)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, key, &value);
	if (!value) {
		*out = NULL;
		return 0;
	}
	return json_get_object(o, key, out, err);
}

int request_volume_id(struct json_object *args, const char **out, struct error *err)
{
	struct json_object *volume, *spec;
	const char *id = NULL;

	if (get_object_or_null(args, "volume", &volume, err) < 0 ||
		get_object_or_null(args, "request_spec", &spec, err) < 0)
		return -1;
	if (volume && json_get_string_or(object_data(volume), "id", NULL, &id, err) < 0)
		return -1;
	if (!id && spec &&
		json_get_string_or(object_data(spec), "volume_id", NULL, &id, err) < 0)
		return -1;
	if (!id && json_get_string(args, "volume_id", &id, err) < 0)
		return -1;
	if (!uuid_is(id))
		return error_set(
			err, ERR_INVALID_INPUT, "'%.64s' is no id of a volume", id);
	*out = id;
	return 0;
}

int request_volume(struct scheduler *s, const struct rpc_request *request,
	struct volume *out, struct error *err)
{
	const char *id;
	int found;

	if (request_volume_id(request->args, &id, err) < 0 ||
		scheduler_check_ready(s, err) < 0)
		return -1;
	found = store_volume_get(s->db, id, out, err);
	if (found == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' could not be found", id);
	return found < 0 ? -1 : 0;
}

int get_strings(
	struct json_object *o, const char *key, const char ***out, struct error *err)
{
	AUTO(free) const char **strings = NULL;
	struct json_object *list = NULL;
	size_t count;

	*out = NULL;
	if (!json_object_object_get_ex(o, key, &list) || !list)
		return 0;
	if (json_get_array(o, key, &list, err) < 0)
		return -1;
	count = json_object_array_length(list);
	strings = calloc(count + 1, sizeof(*strings));
	if (!strings)
		return error_no_memory(err);
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (!json_object_is_type(item, json_type_string))
			return error_set(err, ERR_INVALID_INPUT,
				"'%s' is no list of strings", key);
		strings[i] = json_object_get_string(item);
	}
	if (count > 0)
		*out = steal(strings);
	return 0;
}

void reserved_add(struct reserved *reserved, struct json_object *o, const char *key)
{
	struct json_object *list = NULL;

	json_object_object_get_ex(o, key, &list);
	if (!json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0;
		i < json_object_array_length(list) && reserved->count < RESERVED_MAX;
		i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (json_object_is_type(item, json_type_string) &&
			uuid_is(json_object_get_string(item)))
			reserved->uuids[reserved->count++] =
				json_object_get_string(item);
	}
}

int request_own_pool(struct scheduler *s, const struct facts *facts,
	const struct volume *volume, const struct placement *asked, struct pool **out,
	struct error *err)
{
	struct placement own = *asked;
	const struct service *service;
	struct address address;

	if (address_parse(volume->host, &address, err) < 0)
		return error_context(err, "volume '%s' is on no backend", volume->id);
	if (scheduler_misses_reports(s, &facts->view, volume->host))
		return STEP_WAIT;
	own.target = volume->host;
	own.own = true;
	return placement_choose(&facts->view, &own, out, &service, err);
}

int request_cast(struct scheduler *s, const struct rpc_request *request,
	const char *host, const char *method, const char *version,
	struct json_object *args, struct error *err)
{
	char topic[ADDRESS_SIZE + 16];
	struct address address;

	if (address_parse(host, &address, err) < 0)
		return -1;
	address_topic(&address, topic);
	return rpc_cast(s->rpc, topic, address.host, true, method, version,
		request->request_id, args, err);
}

struct json_object *request_host(const struct pool *pool)
{
	struct json_object *host = json_object_new_object();
	struct json_object *capabilities = NULL;

	json_parse(pool->capabilities, strlen(pool->capabilities), &capabilities, NULL);
	json_add_string(host, "host", pool->address);
	json_add(host, "cluster_name", NULL);
	json_add(host, "capabilities", capabilities);
	return host;
}

void request_log_refused(
	const struct rpc_request *request, const char *id, const struct error *why)
{
	log_warning("request refused method=%s volume=%s request=%s reason='%s'",
		request->method, id, request->request_id, why->text);
}
