/* SPDX-License-Identifier: Apache-2.0 */
/* The RPC methods of the topic drover-compute, 1.0. Each is carried out in a thread, and
 * answered when that has ended. */
#include <stdlib.h>
#include <string.h>

#include "common/log-levels.h"
#include "common/log.h"
#include "compute/service.h"

struct order {
	struct job job;
	struct compute *compute;
	struct rpc_address reply;
	order_run run;
	const char *name;
	bool is_swap;
	struct json_object *args, *result; /* own */
	struct error err;
	int rc;
};

static void run_order(struct job *job)
{
	struct order *order = container_of(job, struct order, job);

	order->rc = order->run(
		&order->compute->hypervisor, order->args, &order->result, &order->err);
}

/* Nothing is known of what was asked: libvirt, or the disk of our state, did not answer. A
 * failure would be taken for a refusal, and whoever asks about a swap would act on that. */
static bool is_unknown(const struct order *order)
{
	if (order->rc == ORDER_SILENT)
		return true;
	if (order->rc == 0 || !order->is_swap)
		return false;
	switch (order->err.code) {
	case ERR_LOST:
	case ERR_TIMEOUT:
	case ERR_IO:
	case ERR_NO_SPACE:
	case ERR_NO_MEMORY:
	case ERR_INTERNAL:
		return true;
	default:
		return false;
	}
}

static void end_order(struct job *job)
{
	struct order *order = container_of(job, struct order, job);

	if (order->rc < 0)
		log_warning("%s: %s", order->name, order->err.text);
	if (!is_unknown(order))
		rpc_reply(order->compute->rpc, &order->reply, order->result,
			order->rc < 0 ? &order->err : NULL);
	compute_hurry(order->compute);
	json_object_put(order->args);
	json_object_put(order->result);
	free(order);
}

/* json-c counts references without a lock: the thread gets a copy of its own. */
static int begin(struct compute *compute, const struct rpc_request *request,
	const char *name, order_run run, struct error *err)
{
	struct order *order = calloc(1, sizeof(*order));

	if (!order)
		return error_no_memory(err);
	if (json_object_deep_copy(request->args, &order->args, NULL) < 0) {
		free(order);
		return error_no_memory(err);
	}
	order->job.run = run_order;
	order->job.done = end_order;
	order->compute = compute;
	order->reply = request->reply;
	order->run = run;
	order->name = name;
	order->is_swap = strncmp(name, "swap_", 5) == 0;
	error_set(&order->err, ERR_INTERNAL, "the service is stopping");
	order->rc = -1; /* unless it is run */
	jobs_give(compute->orders, &order->job);
	return RPC_LATER;
}

#define METHOD(name) \
	static int on_##name(void *arg, const struct rpc_request *request, \
		struct json_object **result, struct error *err) \
	{ \
		return begin(arg, request, #name, order_##name, err); \
	}

METHOD(find_instance)
METHOD(attach_volume)
METHOD(detach_volume)
METHOD(swap_volume)
METHOD(swap_status)
METHOD(swap_cancel)
METHOD(swap_rate)
METHOD(swap_resolve)

const struct rpc_method compute_methods[] = {
	{ "find_instance", on_find_instance },
	{ "attach_volume", on_attach_volume },
	{ "detach_volume", on_detach_volume },
	{ "swap_volume", on_swap_volume },
	{ "swap_status", on_swap_status },
	{ "swap_cancel", on_swap_cancel },
	{ "swap_rate", on_swap_rate },
	{ "swap_resolve", on_swap_resolve },
	{ "set_log_levels", log_levels_set },
	{ "get_log_levels", log_levels_get },
	{ NULL, NULL },
};
