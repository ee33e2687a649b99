/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/answer.h"

#include "common/address.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/rpc.h"

#define OBJECT_VERSION "1.8"

/* The id is all that counts of the object: the rows are the manager's. */
static struct json_object *volume_object(const char *id)
{
	struct json_object *o = json_object_new_object();
	struct json_object *data = json_object_new_object();

	json_add_string(data, "id", id);
	json_add_string(o, "versioned_object.name", "Volume");
	json_add_string(o, "versioned_object.namespace", "cinder");
	json_add_string(o, "versioned_object.version", OBJECT_VERSION);
	json_add(o, "versioned_object.data", data);
	return o;
}

/* Did the message, or its answer, get lost? Everything else is an answer. */
static bool is_silence(const struct error *err)
{
	switch (err->code) {
	case ERR_TIMEOUT:
	case ERR_BROKER:
	case ERR_UNROUTABLE:
	case ERR_LOST:
	case ERR_NO_MEMORY:
	case ERR_DB_UNAVAILABLE:
	case ERR_DB_UNKNOWN:
	case ERR_DB_RETRY:
		return true;
	default:
		return false;
	}
}

static int call(
	struct hypervisor *hypervisor, const struct swap *swap, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	AUTO(json_object_put) struct json_object *result = NULL;
	AUTO(rpc_client_close) struct rpc_client *client = NULL;
	char topic[ADDRESS_SIZE + 16];
	struct address to;

	json_add(args, "volume", volume_object(swap->volume));
	json_add(args, "new_volume", volume_object(swap->target));
	json_add_bool(args, "error", swap->step != SWAP_MOVED);
	json_add_string(args, "host", hypervisor->settings->host);
	if (address_parse(swap->answer_to, &to, err) < 0)
		return -1;
	address_topic(&to, topic);
	if (rpc_client_open(&hypervisor->settings->rpc, &client, err) < 0)
		return -1;
	return rpc_client_call(client, topic, to.host, "migrate_volume_completion",
		"3.0", args, &result, err);
}

/* Whoever changes a swap holds the lock of its volume. */
static int note(
	struct hypervisor *hypervisor, const struct swap *key, struct error *err)
{
	struct swap swap;
	int rc = 0;

	if (swaps_lock(hypervisor->swaps, key->volume, err) < 0)
		return -1;
	if (swaps_find(hypervisor->swaps, key->instance, key->volume, key->target,
		    &swap)) {
		swap.answered = true;
		rc = swaps_save(hypervisor->swaps, &swap, err);
	}
	swaps_unlock(hypervisor->swaps, key->volume);
	return rc;
}

int answer_send(
	struct hypervisor *hypervisor, const struct swap *swap, struct error *err)
{
	if (fault_point("compute.answer", err) < 0)
		return -1;
	if (call(hypervisor, swap, err) < 0) {
		if (is_silence(err))
			return -1;
		log_warning("the volume manager refuses the end of a swap volume=%s "
			    "target=%s reason='%s'",
			swap->volume, swap->target, err->text);
	} else {
		log_info("the volume manager knows volume=%s target=%s state=%s",
			swap->volume, swap->target, swap_state(swap));
	}
	if (fault_point("compute.answered", err) < 0)
		return -1;
	return note(hypervisor, swap, err);
}
