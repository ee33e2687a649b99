/* SPDX-License-Identifier: Apache-2.0 */
/* hypervisor.h - what drover-compute on the host of a guest is asked, over RPC. It blocks, for
 * a bounded time: for workers and the command line.
 *
 * Everything may be asked again. An error of hypervisor_unheard() tells that no answer came:
 * what was asked for may be done or not. Any other is the hypervisor's refusal, in its words.
 */
#ifndef COMMON_HYPERVISOR_H
#define COMMON_HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"
#include "common/rpc.h"

#define HYPERVISOR_TOPIC "drover-compute"
#define HYPERVISOR_HOST_MAX 256

bool hypervisor_unheard(const struct error *err);

/* A guest, where it is. */
struct instance {
	char host[HYPERVISOR_HOST_MAX];
	char state[64]; /* libvirt's word: "running", "paused", "shut off" */
	struct json_object *connector; /* for attachment_update; the instance's */
};
void instance_clear(struct instance *instance);
static inline __attribute__((unused)) void auto_instance_clear(
	struct instance *instance)
{
	instance_clear(instance);
}
/* All are asked; who has it answers. 1 and *out, 0 nobody did in so many seconds: it is on a
 * host that is silent, or nowhere. */
int hypervisor_find(struct rpc_client *client, const char *instance_id, double seconds,
	struct instance *out, struct error *err);

/* ---- to attach and detach ---- */

struct hypervisor_attach {
	const char *host, *instance_id, *volume_id, *attachment_id;
	const char *mode; /* "rw", "ro" */
	struct json_object *info; /* hypervisor_info(); borrowed */
};
/* *device: "/dev/vdb". */
int hypervisor_attach(struct rpc_client *client, const struct hypervisor_attach *what,
	char *device, size_t size, struct error *err);
/* Once the guest has let it go, or never had it. */
int hypervisor_detach(struct rpc_client *client, const char *host,
	const char *instance_id, const char *volume_id, struct error *err);

/* connection_info, of the form that attachment_update answers, as {driver_volume_type, data};
 * a new object. */
struct json_object *hypervisor_info(struct json_object *flat);

/* ---- to let a guest go on with another volume ---- */

enum swap_state {
	SWAP_NONE, /* was never ordered there */
	SWAP_COPYING,
	SWAP_READY,
	SWAP_PIVOTING,
	SWAP_MOVED,
	SWAP_FAILED,
	SWAP_CANCELLED,
	SWAP_HELD, /* it cannot tell which disk has the newest data */
};
const char *swap_state_name(enum swap_state state);

struct hypervisor_swap {
	const char *host, *instance_id;
	const char *volume_id, *target_id; /* go on with target_id in place of it */
};
struct swap_status {
	enum swap_state state;
	int64_t done, total; /* bytes */
	char reason[ERROR_TEXT_SIZE];
	char instance[64]; /* libvirt's word, or "gone" */
	bool source, target; /* the guest has that disk */
	bool pivoted; /* it has tried to go over: the target may have the newest data */
	int64_t rate; /* what it was told; bytes per second, 0: none, -1: it does not say */
};
struct hypervisor_order {
	const char *mode; /* "rw", "ro" */
	struct json_object *info; /* of the target; borrowed */
	const char *answer_to; /* "host@backend" whose manager is told the end */
	int64_t rate; /* bytes per second; 0: as fast as it goes */
};
int hypervisor_swap(struct rpc_client *client, const struct hypervisor_swap *swap,
	const struct hypervisor_order *order, struct swap_status *out,
	struct error *err);
int hypervisor_swap_status(struct rpc_client *client,
	const struct hypervisor_swap *swap, struct swap_status *out, struct error *err);
/* Before the pivot it ends as cancelled. One that was not ordered yet never will be. */
int hypervisor_swap_cancel(struct rpc_client *client,
	const struct hypervisor_swap *swap, struct swap_status *out, struct error *err);
/* At most so many bytes per second, 0: as fast as it goes. Nothing when it is over. */
int hypervisor_swap_rate(struct rpc_client *client, const struct hypervisor_swap *swap,
	int64_t rate, struct swap_status *out, struct error *err);
/* An operator knows where the guest's newest data is. */
int hypervisor_swap_resolve(struct rpc_client *client,
	const struct hypervisor_swap *swap, bool moved, struct swap_status *out,
	struct error *err);

#endif
