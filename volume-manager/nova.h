/* SPDX-License-Identifier: Apache-2.0 */
/* nova.h - Compute over its REST API: where a guest is attached, and the order to go on with
 * another volume. Only for workers: it blocks, each request for a bounded time.
 *
 * The only file that sees libcurl. A token is asked of Keystone (v3) when there is none, when
 * it ends soon, and when Compute does not take it.
 */
#ifndef VOLUME_MANAGER_NOVA_H
#define VOLUME_MANAGER_NOVA_H

#include <stdbool.h>

#include "common/auto.h"
#include "common/error.h"
#include "common/settings.h"

struct nova;

/* settings and request_id (X-OpenStack-Request-ID) are borrowed. stopping is asked while a
 * request is under way; true ends it. */
int nova_open(const struct nova_settings *settings, const char *request_id,
	bool (*stopping)(void *arg), void *arg, struct nova **out, struct error *err);
void nova_close(struct nova *nova);
DEFINE_AUTO(struct nova *, nova_close)

struct nova_server {
	char status[64]; /* "ACTIVE", "SHUTOFF" */
	char vm_state[64]; /* "active", "stopped"; empty: we may not see it */
};
/* 1 and *out; 0: there is no such server (any more). ERR_COMPUTE in its own words,
 * ERR_LOST, ERR_TIMEOUT. */
int nova_server(struct nova *nova, const char *server_id, struct nova_server *out,
	struct error *err);
/* Which of the two volumes Compute counts as the server's. 1; 0: no such server. */
int nova_attached(struct nova *nova, const char *server_id, const char *source_id,
	const char *target_id, bool *source, bool *target, struct error *err);

enum nova_answer {
	NOVA_ACCEPTED,
	NOVA_REFUSED, /* *err has its words: it will not be done */
	NOVA_UNSENT, /* it was not asked: *err says why */
	NOVA_UNKNOWN, /* it may do it or not: *err says why */
};
/* Let the guest go on with target_id in place of source_id. Asked once. */
enum nova_answer nova_swap(struct nova *nova, const char *server_id,
	const char *source_id, const char *target_id, struct error *err);

#endif
