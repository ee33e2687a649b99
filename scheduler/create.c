/* SPDX-License-Identifier: Apache-2.0 */
/* create_volume: choose a pool, write it down, and have the volume made there. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/log.h"
#include "common/store/messages.h"
#include "common/store/operations.h"
#include "common/store/types.h"
#include "scheduler/scheduler.h"

/* What the message asks for; all borrowed from it but the lists. */
struct wish {
	const char *image_id, *backup_id, *target;
	const char **zones;
	const char **attempted; /* pools where it failed before */
	int64_t attempts;
	struct json_object *specs; /* of its type, from the rows */
	char origin[ADDRESS_SIZE]; /* where what it is made from is */
};

static void wish_clear(struct wish *wish)
{
	free(wish->zones);
	free(wish->attempted);
	json_object_put(wish->specs);
}

static int read_spec(struct json_object *spec, struct wish *out, struct error *err)
{
	if (json_get_string_or(
		    spec, "resource_backend", out->target, &out->target, err) < 0 ||
		json_get_string_or(
			spec, "image_id", out->image_id, &out->image_id, err) < 0)
		return -1;
	return get_strings(spec, "availability_zones", &out->zones, err);
}

/* A cinder-volume that failed to make it sends it back, with what was tried. */
static int read_retry(struct json_object *args, struct wish *out, struct error *err)
{
	struct json_object *properties, *retry = NULL;

	if (get_object_or_null(args, "filter_properties", &properties, err) < 0)
		return -1;
	if (properties && get_object_or_null(properties, "retry", &retry, err) < 0)
		return -1;
	if (!retry)
		return 0;
	if (json_get_int_or(retry, "num_attempts", 0, 1000, 0, &out->attempts, err) < 0)
		return -1;
	return get_strings(retry, "backends", &out->attempted, err);
}

static int read_wish(struct json_object *args, struct wish *out, struct error *err)
{
	struct json_object *spec;

	if (json_get_string_or(args, "image_id", NULL, &out->image_id, err) < 0 ||
		json_get_string_or(args, "backup_id", NULL, &out->backup_id, err) < 0 ||
		json_get_string_or(args, "target", NULL, &out->target, err) < 0 ||
		get_object_or_null(args, "request_spec", &spec, err) < 0 ||
		read_retry(args, out, err) < 0)
		return -1;
	return spec ? read_spec(object_data(spec), out, err) : 0;
}

/* What the rows say about it. A copy of something is made where that is. */
static int read_rows(struct scheduler *s, const struct volume *volume, struct wish *out,
	struct error *err)
{
	if (store_type_specs(s->db, volume->volume_type_id, &out->specs, err) < 0 ||
		store_volume_origin(s->db, volume, out->origin, err) < 0)
		return -1;
	if (!out->target && out->origin[0])
		out->target = out->origin;
	return 0;
}

static int check_wish(
	const struct scheduler *s, const struct wish *wish, struct error *err)
{
	const char *from = wish->image_id ? "an image"
		: wish->backup_id         ? "a backup"
					  : NULL;
	struct address address;

	if (from)
		return error_set(err, ERR_NOT_SUPPORTED,
			"a volume made from %s is not supported", from);
	if (wish->attempts >= s->settings->scheduler_max_attempts)
		return error_set(err, ERR_NO_VALID_BACKEND,
			"%" PRId64 " backends have failed to make it", wish->attempts);
	return wish->target ? address_parse(wish->target, &address, err) : 0;
}

/* ---- having it made ---- */

static struct json_object *string_list(const char *const *strings, const char *last)
{
	struct json_object *list = json_object_new_array();

	for (; strings && *strings; strings++)
		json_object_array_add(list, json_object_new_string(*strings));
	json_object_array_add(list, json_object_new_string(last));
	return list;
}

/* Without "retry" a cinder-volume does not send it back when it fails. */
static struct json_object *filter_properties(const struct scheduler *s,
	struct json_object *args, const struct wish *wish, const struct volume *volume)
{
	struct json_object *out = NULL, *retry;

	json_object_deep_copy(
		json_object_object_get(args, "filter_properties"), &out, NULL);
	if (!out)
		out = json_object_new_object();
	if (s->settings->scheduler_max_attempts == 1)
		return out;
	retry = json_object_new_object();
	json_add_int(retry, "num_attempts", wish->attempts + 1);
	json_add(retry, "backends", string_list(wish->attempted, volume->host));
	json_add(retry, "hosts", string_list(wish->attempted, volume->host));
	json_add(out, "retry", retry);
	return out;
}

/* What a Python cinder-volume takes: the message's objects, with the host in them. */
static struct json_object *create_arguments(const struct scheduler *s,
	struct json_object *args, const struct wish *wish, const struct volume *volume)
{
	struct json_object *out = json_object_new_object();
	struct json_object *object = NULL, *value = NULL;

	json_object_deep_copy(json_object_object_get(args, "volume"), &object, NULL);
	if (object) {
		json_add_string(object_data(object), "host", volume->host);
		json_add_string(object_data(object), "availability_zone",
			volume->availability_zone);
	}
	json_add(out, "volume", object);
	json_object_object_get_ex(args, "request_spec", &value);
	json_add(out, "request_spec", json_object_get(value));
	json_add(out, "filter_properties", filter_properties(s, args, wish, volume));
	json_add_bool(out, "allow_reschedule", true);
	return out;
}

static int cast_create(struct scheduler *s, const struct rpc_request *request,
	const struct wish *wish, const struct volume *volume, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = NULL;

	if (!json_object_object_get(request->args, "volume"))
		return error_set(err, ERR_INVALID_INPUT,
			"'volume' is missing, which '%s' wants", volume->host);
	args = create_arguments(s, request->args, wish, volume);
	return request_cast(
		s, request, volume->host, "create_volume", "3.0", args, err);
}

static int dispatch(struct scheduler *s, const struct rpc_request *request,
	const struct wish *wish, const struct volume *volume,
	const struct service *service, struct error *err)
{
	enum admission admission;

	if (!service->drover)
		return cast_create(s, request, wish, volume, err);
	if (store_create_admit(
		    s->db, volume->id, request->request_id, &admission, err) < 0)
		return -1;
	if (admission == DUPLICATE)
		log_info("creation is known already volume=%s request=%s", volume->id,
			request->request_id);
	return 0;
}

/* ---- choosing ---- */

static int place(struct scheduler *s, const struct rpc_request *request,
	struct volume *volume, const struct wish *wish, const struct facts *facts,
	struct error *err)
{
	const struct placement asked = {
		.size_gib = volume->size_gib,
		.target = wish->target,
		.zones = wish->zones,
		.attempted = wish->attempted,
		.specs = wish->specs,
	};
	const struct service *service;
	struct pool *pool;
	int placed;

	if (placement_choose(&facts->view, &asked, &pool, &service, err) < 0)
		return -1;
	placed = store_volume_place(
		s->db, volume->id, pool->address, service->availability_zone, err);
	if (placed < 0)
		return -1;
	if (!placed) {
		log_info(
			"volume was placed by another scheduler volume=%s", volume->id);
		return 0;
	}
	pool->capacity.placed += (double)volume->size_gib;
	snprintf(volume->host, sizeof(volume->host), "%s", pool->address);
	snprintf(volume->availability_zone, sizeof(volume->availability_zone), "%s",
		service->availability_zone);
	log_info("volume placed volume=%s size_gib=%lld pool=%s request=%s", volume->id,
		(long long)volume->size_gib, pool->address, request->request_id);
	return dispatch(s, request, wish, volume, service, err);
}

/* It has a place already: this is the second try of a request that was interrupted, or a
 * duplicate. Drover's own admission tells them apart; a Python cinder-volume cannot. */
static int dispatch_again(struct scheduler *s, const struct rpc_request *request,
	const struct wish *wish, const struct volume *volume, const struct facts *facts,
	struct error *err)
{
	const struct service *service;
	struct address address;

	if (address_parse(volume->host, &address, err) < 0)
		return -1;
	service = view_service(&facts->view, address.backend);
	if (!service)
		return error_set(err, ERR_INVALID_HOST, "backend '%s' is unknown",
			address.backend);
	if (!service->drover && !request->redelivered) {
		log_info("volume has a place already volume=%s host=%s", volume->id,
			volume->host);
		return 0;
	}
	return dispatch(s, request, wish, volume, service, err);
}

static int try_create(struct scheduler *s, const struct rpc_request *request,
	struct volume *volume, struct wish *wish, struct error *err)
{
	struct facts facts;
	int rc;

	if (read_rows(s, volume, wish, err) < 0 || check_wish(s, wish, err) < 0 ||
		facts_read(s, &facts, err) < 0)
		return -1;
	if (volume->host[0])
		rc = dispatch_again(s, request, wish, volume, &facts, err);
	else if (scheduler_misses_reports(s, &facts.view, wish->target))
		rc = STEP_WAIT;
	else
		rc = place(s, request, volume, wish, &facts, err);
	facts_clear(&facts);
	return rc;
}

/* ---- failing ---- */

static int give_up(struct scheduler *s, const struct rpc_request *request,
	const struct volume *volume, const struct error *why, struct error *err)
{
	bool no_place = why->code == ERR_NO_VALID_BACKEND ||
		why->code == ERR_INVALID_HOST || why->code == ERR_NOT_SUPPORTED ||
		why->code == ERR_NOT_FOUND;

	/* Another request's work is not this one's to declare failed. */
	if (store_volume_idle(s->db, volume, "be created again", err) < 0)
		return -1;
	log_warning("volume not created volume=%s size_gib=%lld request=%s reason='%s'",
		volume->id, (long long)volume->size_gib, request->request_id,
		why->text);
	return store_volume_create_failed(s->db, volume->id, request->request_id,
		       no_place ? MESSAGE_NO_BACKEND : NULL, err) < 0
		? -1
		: STEP_DONE;
}

int create_volume(
	struct scheduler *s, const struct rpc_request *request, struct error *err)
{
	struct wish wish = { .zones = NULL };
	struct volume volume;
	struct error why;
	int rc;

	if (request_volume(s, request, &volume, err) < 0)
		return -1;
	if (strcmp(volume.status, "creating") != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"volume '%s' is not to be created: its status is '%s'",
			volume.id, volume.status);
	rc = read_wish(request->args, &wish, &why);
	if (rc == 0)
		rc = try_create(s, request, &volume, &wish, &why);
	wish_clear(&wish);
	if (rc == STEP_FAILED && !error_is_temporary(&why))
		return give_up(s, request, &volume, &why, err);
	if (rc == STEP_FAILED)
		*err = why;
	return rc;
}
