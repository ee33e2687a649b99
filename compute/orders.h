/* SPDX-License-Identifier: Apache-2.0 */
/* orders.h - what is asked of this host over RPC, carried out in a thread of jobs.h.
 *
 * args is what the message says, nothing of it checked. 0: *result (may stay NULL) is the
 * answer. ORDER_SILENT: there is none.
 */
#ifndef COMPUTE_ORDERS_H
#define COMPUTE_ORDERS_H

#include "common/json.h"
#include "common/settings.h"
#include "compute/host.h"
#include "compute/swaps.h"

#define ORDER_SILENT 1

/* What they need; all of it may be used by any thread. */
struct hypervisor {
	const struct settings *settings;
	struct host *host;
	struct swaps *swaps;
};

typedef int (*order_run)(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err);

int order_find_instance(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err);
int order_attach_volume(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err);
int order_detach_volume(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err);
int order_swap_volume(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err);
int order_swap_status(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err);
int order_swap_cancel(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err);
int order_swap_rate(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err);
int order_swap_resolve(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err);

/* Go on with one swap, whatever is to be done. */
int order_advance(
	struct hypervisor *hypervisor, const struct swap *swap, struct error *err);

/* An id in args, checked, in lower case. */
int order_id(struct json_object *args, const char *key, char out[UUID_TEXT_SIZE],
	struct error *err);

#endif
