/* SPDX-License-Identifier: Apache-2.0 */
#include "common/inbox.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/envelope.h"
#include "common/link.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/replies.h"

#define FIRST_RETRY_S 1.0
#define LONGEST_RETRY_S 5.0
#define MOST_REDELIVERIES 3
#define SHOWN_BYTES 1024

struct waiting {
	struct waiting *next;
	struct service *service;
	struct json_object *message; /* request borrows from it */
	struct rpc_request request;
	uint64_t tag; /* 0: its connection is gone */
	enum error_code deferred_by; /* ERR_NONE: not tried yet */
	unsigned redeliveries; /* since it was first tried */
};

struct inbox {
	struct ev_loop *ev;
	struct link *link;
	struct replies *replies;
	struct waiting *first, **end;
	ev_timer retry;
	double pause_s;
	bool handling, stopped;
};

static void waiting_free(struct waiting *w)
{
	if (!w)
		return;
	json_object_put(w->message);
	free(w);
}
DEFINE_AUTO(struct waiting *, waiting_free)

/* --- acknowledging */

static void settle(struct inbox *inbox, uint64_t tag, bool reject)
{
	struct broker *broker = link_broker(inbox->link);
	struct error err;
	int rc;

	if (!tag || !broker)
		return;
	rc = reject ? broker_reject(broker, tag, &err) : broker_ack(broker, tag, &err);
	if (rc < 0)
		link_lost(inbox->link, &err);
}

static void reject_malformed(struct inbox *inbox, const struct service *service,
	const struct broker_event *event, const char *why)
{
	log_error("message rejected topic=%s size=%llu reason='%s'", service->topic,
		(unsigned long long)event->size, why);
	settle(inbox, event->tag, true);
}

static void remember(struct service *service, const char *unique_id)
{
	char *slot = service->recent[service->next_recent++ % RECENT_IDS];

	memcpy(slot, unique_id, strlen(unique_id) + 1);
}

static bool is_recent(const struct service *service, const char *unique_id)
{
	for (unsigned i = 0; i < RECENT_IDS; i++)
		if (strcmp(service->recent[i], unique_id) == 0)
			return true;
	return false;
}

/* --- handling */

static const struct rpc_method *find_method(
	const struct service *service, const char *name)
{
	for (const struct rpc_method *m = service->methods; m->name; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

static int call_handler(
	struct waiting *w, struct json_object **result, struct error *err)
{
	const struct rpc_request *request = &w->request;
	const struct rpc_method *method;

	if (!version_is_served(w->service->version, request->version))
		return error_set(err, ERR_UNSUPPORTED_VERSION,
			"version %.16s of '%s' is not served, ours is %s",
			request->version, request->method, w->service->version);
	/* Cinder never calls these over the wire, so neither does anybody else. */
	method = request->method[0] == '_' ? NULL
					   : find_method(w->service, request->method);
	if (!method)
		return error_set(err, ERR_UNKNOWN_METHOD, "'%s' is no method of '%s'",
			request->method, w->service->topic);
	if (!method->handle)
		return error_set(err, ERR_NOT_SUPPORTED,
			"'%s' is not supported by this service", request->method);
	return method->handle(w->service->arg, request, result, err);
}

static bool is_about_database(enum error_code code)
{
	return code == ERR_DB_UNAVAILABLE || code == ERR_DB_UNKNOWN ||
		code == ERR_DB_RETRY;
}

static void answer(struct inbox *inbox, const struct rpc_request *request,
	struct json_object *result, const struct error *failure)
{
	if (request->reply.id[0])
		replies_send(inbox->replies, &request->reply, result, failure);
	else if (failure)
		log_warning("request failed method=%s request=%s reason='%s'",
			request->method, request->request_id, failure->text);
}

/* False when the message has to wait for the database. */
static bool handle(struct inbox *inbox, struct waiting *w)
{
	AUTO(json_object_put) struct json_object *result = NULL;
	struct error err;
	int rc;

	error_clear(&err);
	inbox->handling = true;
	rc = call_handler(w, &result, &err);
	if (rc == RPC_FAILED && is_about_database(err.code)) {
		if (w->deferred_by == ERR_NONE)
			log_warning(
				"request waits for the database method=%s request=%s"
				" reason='%s'",
				w->request.method, w->request.request_id, err.text);
		w->deferred_by = err.code;
		inbox->handling = false;
		return false;
	}
	remember(w->service, w->request.unique_id);
	if (rc != RPC_LATER)
		answer(inbox, &w->request, result, rc == RPC_FAILED ? &err : NULL);
	inbox->handling = false;
	settle(inbox, w->tag, false);
	return true;
}

/* --- waiting */

static void retry_in(struct inbox *inbox, double seconds)
{
	ev_timer_stop(inbox->ev, &inbox->retry);
	ev_timer_set(&inbox->retry, seconds, 0.);
	ev_timer_start(inbox->ev, &inbox->retry);
}

static void append(struct inbox *inbox, struct waiting *w)
{
	w->next = NULL;
	*inbox->end = w;
	inbox->end = &w->next;
}

static void unlink_waiting(struct inbox *inbox, struct waiting **at)
{
	struct waiting *w = *at;

	*at = w->next;
	if (inbox->end == &w->next)
		inbox->end = at;
	waiting_free(w);
}

/* One message per turn of the loop. */
static void on_retry(EV_P_ ev_timer *watcher, int events)
{
	struct inbox *inbox = watcher->data;

	if (!inbox->first || inbox->stopped)
		return;
	if (handle(inbox, inbox->first)) {
		unlink_waiting(inbox, &inbox->first);
		inbox->pause_s = FIRST_RETRY_S;
		if (inbox->first)
			retry_in(inbox, 0);
		return;
	}
	inbox->pause_s *= 2;
	if (inbox->pause_s > LONGEST_RETRY_S)
		inbox->pause_s = LONGEST_RETRY_S;
	retry_in(inbox, inbox->pause_s);
}

static struct waiting **find_waiting(
	struct inbox *inbox, const struct service *service, const char *unique_id)
{
	struct waiting **at = &inbox->first;

	while (*at &&
		((*at)->service != service ||
			strcmp((*at)->request.unique_id, unique_id) != 0))
		at = &(*at)->next;
	return *at ? at : NULL;
}

/* The same message came again while it waits. Mostly the connection was lost; but when
 * its own transaction broke each time, it may be the message that kills the session. */
static void redelivered(
	struct inbox *inbox, struct waiting **at, const struct broker_event *event)
{
	struct waiting *w = *at;

	/* Two live copies: a duplicate by the sender, not by a lost connection. */
	if (w->tag) {
		settle(inbox, event->tag, false);
		return;
	}
	w->tag = event->tag;
	if (w->deferred_by == ERR_NONE || w->deferred_by == ERR_DB_UNAVAILABLE ||
		++w->redeliveries < MOST_REDELIVERIES)
		return;
	log_error("message rejected after %u redeliveries topic=%s method=%s request=%s"
		  " text='%.*s'",
		w->redeliveries, w->service->topic, w->request.method,
		w->request.request_id, SHOWN_BYTES, event->body);
	settle(inbox, w->tag, true);
	unlink_waiting(inbox, at);
}

static struct waiting *read_message(
	struct inbox *inbox, struct service *service, const struct broker_event *event)
{
	AUTO(waiting_free) struct waiting *w = calloc(1, sizeof(*w));
	struct error err;

	if (!w)
		error_no_memory(&err);
	else if (!event->body)
		error_set(&err, ERR_INVALID_INPUT, "too large");
	else if (envelope_open(event->body, event->size, &w->message, &err) == 0 &&
		envelope_read_request(w->message, &w->request, &err) == 0)
		return steal(w);
	reject_malformed(inbox, service, event, err.text);
	return NULL;
}

void inbox_deliver(
	struct inbox *inbox, struct service *service, const struct broker_event *event)
{
	AUTO(waiting_free) struct waiting *w = NULL;
	struct waiting **known;

	if (inbox->stopped)
		return;
	w = read_message(inbox, service, event);
	if (!w)
		return;
	if (is_recent(service, w->request.unique_id)) {
		log_debug("duplicate dropped method=%s id=%s", w->request.method,
			w->request.unique_id);
		settle(inbox, event->tag, false);
		return;
	}
	known = find_waiting(inbox, service, w->request.unique_id);
	if (known) {
		redelivered(inbox, known, event);
		return;
	}
	w->service = service;
	w->tag = event->tag;
	w->request.redelivered = event->redelivered;
	if (!inbox->first && handle(inbox, w))
		return;
	if (!inbox->first) {
		inbox->pause_s = FIRST_RETRY_S;
		retry_in(inbox, inbox->pause_s);
	}
	append(inbox, steal(w));
}

void inbox_forget_tags(struct inbox *inbox)
{
	for (struct waiting *w = inbox->first; w; w = w->next)
		w->tag = 0;
}

bool inbox_stop(struct inbox *inbox)
{
	inbox->stopped = true;
	ev_timer_stop(inbox->ev, &inbox->retry);
	return inbox->handling;
}

void inbox_set_link(struct inbox *inbox, struct link *link)
{
	inbox->link = link;
}

int inbox_new(struct loop *loop, struct replies *replies, struct inbox **out,
	struct error *err)
{
	struct inbox *inbox = calloc(1, sizeof(*inbox));

	if (!inbox)
		return error_no_memory(err);
	inbox->ev = loop_ev(loop);
	inbox->replies = replies;
	inbox->end = &inbox->first;
	ev_init(&inbox->retry, on_retry);
	inbox->retry.data = inbox;
	*out = inbox;
	return 0;
}

void inbox_free(struct inbox *inbox)
{
	if (!inbox)
		return;
	ev_timer_stop(inbox->ev, &inbox->retry);
	while (inbox->first) {
		if (!inbox->first->tag)
			log_warning("request not handled before stopping method=%s"
				    " request=%s",
				inbox->first->request.method,
				inbox->first->request.request_id);
		unlink_waiting(inbox, &inbox->first);
	}
	free(inbox);
}
