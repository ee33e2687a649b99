/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hypervisor.h"

#include <stdio.h>
#include <string.h>

#include "common/text.h"

#define VERSION "1.0"

static const char *const states[] = {
	[SWAP_NONE] = "none",
	[SWAP_COPYING] = "copying",
	[SWAP_READY] = "ready",
	[SWAP_PIVOTING] = "pivoting",
	[SWAP_MOVED] = "moved",
	[SWAP_FAILED] = "failed",
	[SWAP_CANCELLED] = "cancelled",
	[SWAP_HELD] = "held",
};

const char *swap_state_name(enum swap_state state)
{
	return states[state];
}

/* A failure that a peer has sent has none of these codes. */
bool hypervisor_unheard(const struct error *err)
{
	switch (err->code) {
	case ERR_BROKER:
	case ERR_UNROUTABLE:
	case ERR_TIMEOUT:
	case ERR_LOST:
	case ERR_IO:
	case ERR_NO_MEMORY:
		return true;
	default:
		return false;
	}
}

/* ---- where a guest is ---- */

void instance_clear(struct instance *instance)
{
	json_object_put(instance->connector);
	memset(instance, 0, sizeof(*instance));
}

static int take_text(struct json_object *o, const char *key, char *out, size_t size,
	struct error *err)
{
	const char *text;

	if (json_get_string(o, key, &text, err) < 0)
		return -1;
	if (!text[0] || strlen(text) >= size)
		return error_set(
			err, ERR_INVALID_INPUT, "'%s' is empty or too long", key);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int take_instance(
	struct json_object *answer, struct instance *out, struct error *err)
{
	struct json_object *connector;

	memset(out, 0, sizeof(*out));
	if (!json_object_is_type(answer, json_type_object))
		return error_set(err, ERR_INVALID_INPUT, "the answer is no object");
	if (take_text(answer, "host", out->host, sizeof(out->host), err) < 0 ||
		take_text(answer, "state", out->state, sizeof(out->state), err) < 0 ||
		json_get_object(answer, "connector", &connector, err) < 0)
		return -1;
	out->connector = json_object_get(connector);
	return 0;
}

int hypervisor_find(struct rpc_client *client, const char *instance_id, double seconds,
	struct instance *out, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	AUTO(json_object_put) struct json_object *answer = NULL;
	int found;

	json_add_string(args, "instance_id", instance_id);
	found = rpc_client_call_any(client, HYPERVISOR_TOPIC, "find_instance", VERSION,
		args, seconds, &answer, err);
	if (found <= 0)
		return found;
	if (take_instance(answer, out, err) < 0)
		return error_context(err, "find instance '%s'", instance_id);
	return 1;
}

/* ---- one host ---- */

static int call(struct rpc_client *client, const char *host, const char *method,
	struct json_object *args, struct json_object **answer, struct error *err)
{
	if (rpc_client_call(client, HYPERVISOR_TOPIC, host, method, VERSION, args,
		    answer, err) == 0)
		return 0;
	if (err->code == ERR_UNROUTABLE)
		return error_set(err, ERR_UNROUTABLE,
			"no drover-compute is running on host '%.200s'", host);
	return error_context(err, "hypervisor '%.200s'", host);
}

int hypervisor_attach(struct rpc_client *client, const struct hypervisor_attach *what,
	char *device, size_t size, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	AUTO(json_object_put) struct json_object *answer = NULL;

	json_add_string(args, "instance_id", what->instance_id);
	json_add_string(args, "volume_id", what->volume_id);
	json_add_string(args, "attachment_id", what->attachment_id);
	json_add_string(args, "mode", what->mode);
	json_add(args, "connection_info", json_object_get(what->info));
	if (call(client, what->host, "attach_volume", args, &answer, err) < 0)
		return -1;
	if (!json_object_is_type(answer, json_type_object))
		return error_set(err, ERR_INVALID_INPUT, "the answer is no object");
	return take_text(answer, "device", device, size, err);
}

int hypervisor_detach(struct rpc_client *client, const char *host,
	const char *instance_id, const char *volume_id, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	AUTO(json_object_put) struct json_object *answer = NULL;

	json_add_string(args, "instance_id", instance_id);
	json_add_string(args, "volume_id", volume_id);
	return call(client, host, "detach_volume", args, &answer, err);
}

struct json_object *hypervisor_info(struct json_object *flat)
{
	static const char *const outside[] = { "driver_volume_type", "mount_point_base",
		"attachment_id" };
	struct json_object *info = json_object_new_object();
	struct json_object *data = json_object_new_object();

	json_object_object_foreach(flat, key, value)
	{
		bool is_outside = false;

		for (size_t i = 0; i < ARRAY_SIZE(outside); i++)
			is_outside = is_outside || strcmp(key, outside[i]) == 0;
		json_add(is_outside ? info : data, key, json_object_get(value));
	}
	json_add(info, "data", data);
	return info;
}

/* ---- swaps ---- */

static int take_state(
	struct json_object *answer, enum swap_state *out, struct error *err)
{
	const char *text;

	if (json_get_string(answer, "state", &text, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (strcmp(states[i], text) == 0) {
			*out = (enum swap_state)i;
			return 0;
		}
	return error_set(err, ERR_INVALID_INPUT, "'%.32s' is no state of a swap", text);
}

static int take_status(
	struct json_object *answer, struct swap_status *out, struct error *err)
{
	const char *reason;

	memset(out, 0, sizeof(*out));
	if (!json_object_is_type(answer, json_type_object))
		return error_set(err, ERR_INVALID_INPUT, "the answer is no object");
	if (take_state(answer, &out->state, err) < 0 ||
		json_get_int_or(answer, "done", 0, INT64_MAX, 0, &out->done, err) < 0 ||
		json_get_int_or(answer, "total", 0, INT64_MAX, 0, &out->total, err) <
			0 ||
		json_get_string_or(answer, "reason", "", &reason, err) < 0 ||
		take_text(answer, "instance", out->instance, sizeof(out->instance),
			err) < 0 ||
		json_get_bool_or(answer, "source", false, &out->source, err) < 0 ||
		json_get_bool_or(answer, "target", false, &out->target, err) < 0 ||
		json_get_bool_or(answer, "pivoted", false, &out->pivoted, err) < 0 ||
		json_get_int_or(answer, "rate", 0, INT64_MAX, -1, &out->rate, err) < 0)
		return -1;
	text_copy(out->reason, sizeof(out->reason), reason);
	return 0;
}

static struct json_object *swap_args(const struct hypervisor_swap *swap)
{
	struct json_object *args = json_object_new_object();

	json_add_string(args, "instance_id", swap->instance_id);
	json_add_string(args, "volume_id", swap->volume_id);
	json_add_string(args, "target_id", swap->target_id);
	return args;
}

/* An answer that is not understood is none. */
static int swap_call(struct rpc_client *client, const struct hypervisor_swap *swap,
	const char *method, struct json_object *args, struct swap_status *out,
	struct error *err)
{
	AUTO(json_object_put) struct json_object *answer = NULL;

	if (call(client, swap->host, method, args, &answer, err) < 0)
		return -1;
	if (take_status(answer, out, err) == 0)
		return 0;
	err->code = ERR_LOST;
	return error_context(err, "hypervisor '%.200s'", swap->host);
}

int hypervisor_swap(struct rpc_client *client, const struct hypervisor_swap *swap,
	const struct hypervisor_order *order, struct swap_status *out,
	struct error *err)
{
	AUTO(json_object_put) struct json_object *args = swap_args(swap);

	json_add_string(args, "mode", order->mode);
	json_add(args, "connection_info", json_object_get(order->info));
	json_add_string(args, "answer_to", order->answer_to);
	json_add_int(args, "rate", order->rate);
	return swap_call(client, swap, "swap_volume", args, out, err);
}

int hypervisor_swap_status(struct rpc_client *client,
	const struct hypervisor_swap *swap, struct swap_status *out, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = swap_args(swap);

	return swap_call(client, swap, "swap_status", args, out, err);
}

int hypervisor_swap_cancel(struct rpc_client *client,
	const struct hypervisor_swap *swap, struct swap_status *out, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = swap_args(swap);

	return swap_call(client, swap, "swap_cancel", args, out, err);
}

int hypervisor_swap_rate(struct rpc_client *client, const struct hypervisor_swap *swap,
	int64_t rate, struct swap_status *out, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = swap_args(swap);

	json_add_int(args, "rate", rate);
	return swap_call(client, swap, "swap_rate", args, out, err);
}

int hypervisor_swap_resolve(struct rpc_client *client,
	const struct hypervisor_swap *swap, bool moved, struct swap_status *out,
	struct error *err)
{
	AUTO(json_object_put) struct json_object *args = swap_args(swap);

	json_add_bool(args, "moved", moved);
	return swap_call(client, swap, "swap_resolve", args, out, err);
}
