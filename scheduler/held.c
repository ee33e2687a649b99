/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/held.h"

#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/json.h"
#include "common/log.h"
#include "scheduler/scheduler.h"

struct held_request {
	struct held_request *next;
	request_step step;
	struct rpc_request request;
	char *method, *request_id;
};

static void held_request_free(struct held_request *h)
{
	if (!h)
		return;
	json_object_put(h->request.args);
	free(h->method);
	free(h->request_id);
	free(h);
}
DEFINE_AUTO(struct held_request *, held_request_free)

static int hold(struct scheduler *s, request_step step,
	const struct rpc_request *request, struct error *err)
{
	AUTO(held_request_free) struct held_request *h = calloc(1, sizeof(*h));
	struct held_request **end = &s->held.first;

	if (!h)
		return error_no_memory(err);
	h->step = step;
	h->method = strdup(request->method);
	h->request_id = strdup(request->request_id);
	if (!h->method || !h->request_id)
		return error_no_memory(err);
	h->request = (struct rpc_request) {
		.method = h->method,
		.version = "",
		.args = json_object_get(request->args),
		.request_id = h->request_id,
		.unique_id = "",
		.is_admin = request->is_admin,
		.redelivered = request->redelivered,
		.reply = request->reply,
	};
	while (*end)
		end = &(*end)->next;
	*end = steal(h);
	s->held.count++;
	log_info("request waits for reports method=%s request=%s", request->method,
		request->request_id);
	return RPC_LATER;
}

int held_run(struct scheduler *s, request_step step, const struct rpc_request *request,
	struct error *err)
{
	int rc = step(s, request, err);

	return rc == STEP_WAIT ? hold(s, step, request, err) : rc;
}

static void finish(
	struct scheduler *s, struct held_request *h, const struct error *failure)
{
	if (failure)
		log_warning("request failed method=%s request=%s reason='%s'",
			h->method, h->request_id, failure->text);
	rpc_reply(s->rpc, &h->request.reply, NULL, failure);
}

void held_retry(struct scheduler *s)
{
	struct held_request **at = &s->held.first;
	struct error err;

	while (*at) {
		struct held_request *h = *at;
		int rc = h->step(s, &h->request, &err);

		/* While database or broker are away all would fail alike. */
		if (rc == STEP_FAILED && error_must_wait(&err))
			return;
		if (rc == STEP_WAIT) {
			at = &h->next;
			continue;
		}
		finish(s, h, rc == STEP_FAILED ? &err : NULL);
		*at = h->next;
		s->held.count--;
		held_request_free(h);
	}
}

void held_clear(struct held *held)
{
	while (held->first) {
		struct held_request *h = held->first;

		held->first = h->next;
		held_request_free(h);
	}
	held->count = 0;
}
