/* SPDX-License-Identifier: Apache-2.0 */
#include "common/inbox.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/envelope.h"
#include "common/link.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/replies.h"
#include "common/suspects.h"
#include "common/text.h"

#define FIRST_RETRY_S 1.0
#define LONGEST_RETRY_S 5.0
#define MOST_REDELIVERIES 3
#define MOST_NOTES 2
#define SHOWN_BYTES 1024

struct waiting {
	struct waiting *next;
	struct service *service;
	struct json_object *message; /* request borrows from it */
	struct rpc_request request;
	const char *volume; /* that it is about; NULL: none. Borrowed from message */
	bool behind; /* another about the same volume is before it */
	uint64_t tag; /* 0: its connection is gone */
	enum error_code deferred_by; /* ERR_NONE: not tried yet */
	bool undecided; /* its handler waits for something else */
	double due, pause_s; /* set aside until then; how long the next time */
	unsigned redeliveries; /* since it was first tried */
};

struct inbox {
	struct ev_loop *ev;
	struct link *link;
	struct replies *replies;
	struct suspects suspects;
	struct waiting *first, **end; /* in the order of their arrival */
	ev_timer retry;
	double away_until, pause_s; /* the database; how long the next time */
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

/* A locked row, or a broker that did not take what was sent on: of this message alone. */
static bool is_its_own(enum error_code code)
{
	return code == ERR_DB_RETRY || code == ERR_BROKER;
}

static bool will_pass(enum error_code code)
{
	return code == ERR_DB_UNAVAILABLE || code == ERR_DB_UNKNOWN || is_its_own(code);
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

/* Without the context, which says little and may hold a token of the user. */
static char *text_of(struct json_object *message)
{
	AUTO(json_object_put) struct json_object *shown = json_object_new_object();

	json_object_object_foreach(message, key,
		value) if (strncmp(key, "_context_", strlen("_context_")) != 0)
		json_add(shown, key, json_object_get(value));
	return json_text(shown);
}

static void reject_poison(struct inbox *inbox, struct waiting *w, const char *why)
{
	AUTO(free) char *text = text_of(w->message);
	struct error err;

	error_set(&err, ERR_INTERNAL, "the request was rejected %s", why);
	log_error("message rejected %s topic=%s method=%s request=%s text='%.*s'", why,
		w->service->topic, w->request.method, w->request.request_id,
		SHOWN_BYTES, text ? text : "");
	remember(w->service, w->request.unique_id);
	if (w->request.reply.id[0])
		replies_send(inbox->replies, &w->request.reply, NULL, &err);
	settle(inbox, w->tag, true);
}

/* Has handling it ended a process again and again? One that was tried by this process has
 * not. */
static bool is_deadly(struct inbox *inbox, const struct waiting *w)
{
	return w->request.redelivered && w->deferred_by == ERR_NONE &&
		suspects_count(&inbox->suspects, w->request.unique_id) >= MOST_NOTES;
}

static void defer(struct inbox *inbox, struct waiting *w, const struct error *why)
{
	if (w->deferred_by == ERR_NONE)
		log_warning("request waits for the %s method=%s request=%s"
			    " reason='%s'",
			why->code == ERR_BROKER ? "broker" : "database",
			w->request.method, w->request.request_id, why->text);
	w->deferred_by = why->code;
}

static void set_aside(struct waiting *w)
{
	if (!w->undecided)
		log_info("request is kept until it can be decided method=%s request=%s",
			w->request.method, w->request.request_id);
	w->undecided = true;
	w->deferred_by = ERR_DB_RETRY;
}

/* Has it been handled? Otherwise it has to wait for the database or the broker. */
static bool handle(struct inbox *inbox, struct waiting *w)
{
	AUTO(json_object_put) struct json_object *result = NULL;
	const char *unique_id = w->request.unique_id;
	bool done = true;
	struct error err;
	int rc;

	error_clear(&err);
	inbox->handling = true;
	if (w->request.redelivered)
		suspects_note(&inbox->suspects, unique_id);
	rc = call_handler(w, &result, &err);
	if (rc == RPC_FAILED && will_pass(err.code)) {
		defer(inbox, w, &err);
		done = false;
	} else if (rc == RPC_WAIT) {
		set_aside(w);
		done = false;
	} else if (rc != RPC_LATER) {
		answer(inbox, &w->request, result, rc == RPC_FAILED ? &err : NULL);
	}
	if (w->request.redelivered)
		suspects_clear(&inbox->suspects, unique_id);
	inbox->handling = false;
	if (!done)
		return false;
	remember(w->service, unique_id);
	settle(inbox, w->tag, false);
	return true;
}

/* --- waiting */

static bool is_same_volume(const struct waiting *a, const struct waiting *b)
{
	return a->volume && b->volume && strcmp(a->volume, b->volume) == 0;
}

static void append(struct inbox *inbox, struct waiting *w)
{
	w->behind = false;
	for (const struct waiting *other = inbox->first; other; other = other->next)
		w->behind = w->behind || is_same_volume(w, other);
	w->next = NULL;
	*inbox->end = w;
	inbox->end = &w->next;
}

static void unlink_waiting(struct inbox *inbox, struct waiting **at)
{
	struct waiting *w = *at, *next = w->next;

	*at = w->next;
	if (inbox->end == &w->next)
		inbox->end = at;
	while (next && !is_same_volume(w, next))
		next = next->next;
	if (next && !w->behind)
		next->behind = false;
	waiting_free(w);
}

/* The first whose turn it is; all wait while the database is away. */
static struct waiting **find_ready(struct inbox *inbox)
{
	double now = clock_seconds();

	if (now < inbox->away_until)
		return NULL;
	for (struct waiting **at = &inbox->first; *at; at = &(*at)->next)
		if (!(*at)->behind && (*at)->due <= now)
			return at;
	return NULL;
}

static void schedule(struct inbox *inbox)
{
	double at = INFINITY, delay;

	ev_timer_stop(inbox->ev, &inbox->retry);
	for (const struct waiting *w = inbox->first; w; w = w->next)
		if (!w->behind && w->due < at)
			at = w->due;
	if (!inbox->first || inbox->stopped)
		return;
	delay = (at > inbox->away_until ? at : inbox->away_until) - clock_seconds();
	ev_timer_set(&inbox->retry, delay > 0 ? delay : 0, 0.);
	ev_timer_start(inbox->ev, &inbox->retry);
}

/* When to try again; each time it takes longer. */
static double next_try(double *pause_s)
{
	double at;

	if (*pause_s < FIRST_RETRY_S)
		*pause_s = FIRST_RETRY_S;
	at = clock_seconds() + *pause_s;
	*pause_s *= 2;
	if (*pause_s > LONGEST_RETRY_S)
		*pause_s = LONGEST_RETRY_S;
	return at;
}

static void try_one(struct inbox *inbox, struct waiting **at)
{
	struct waiting *w = *at;

	if (is_deadly(inbox, w)) {
		reject_poison(
			inbox, w, "because handling it ended this process before");
		unlink_waiting(inbox, at);
		return;
	}
	if (handle(inbox, w)) {
		unlink_waiting(inbox, at);
	} else if (!is_its_own(w->deferred_by)) {
		inbox->away_until = next_try(&inbox->pause_s);
		return;
	} else {
		w->due = next_try(&w->pause_s);
	}
	inbox->pause_s = 0;
}

/* One message per turn of the loop. */
static void on_retry(EV_P_ ev_timer *watcher, int events)
{
	struct inbox *inbox = watcher->data;
	struct waiting **at = find_ready(inbox);

	if (at)
		try_one(inbox, at);
	schedule(inbox);
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
 * the outcome of its transaction is unknown each time, it may be the message that kills the
 * session. */
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
	if (w->deferred_by != ERR_DB_UNKNOWN || ++w->redeliveries < MOST_REDELIVERIES)
		return;
	reject_poison(inbox, w, "after too many redeliveries");
	unlink_waiting(inbox, at);
	schedule(inbox);
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
		envelope_read_request(w->message, &w->request, &err) == 0) {
		w->volume = envelope_volume_id(w->request.args);
		return steal(w);
	}
	reject_malformed(inbox, service, event, err.text);
	return NULL;
}

void inbox_deliver(
	struct inbox *inbox, struct service *service, const struct broker_event *event)
{
	AUTO(waiting_free) struct waiting *w = NULL;
	struct waiting **known, **end = inbox->end;

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
	append(inbox, steal(w));
	if (find_ready(inbox) == end)
		try_one(inbox, end);
	schedule(inbox);
}

void inbox_try_again(struct inbox *inbox)
{
	for (struct waiting *w = inbox->first; w; w = w->next)
		if (w->undecided)
			w->due = 0;
	schedule(inbox);
}

void inbox_forget_tags(struct inbox *inbox)
{
	for (struct waiting *w = inbox->first; w; w = w->next)
		w->tag = 0;
}

void inbox_give_back(struct inbox *inbox)
{
	while (inbox->first)
		unlink_waiting(inbox, &inbox->first);
	ev_timer_stop(inbox->ev, &inbox->retry);
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

int inbox_new(struct loop *loop, struct replies *replies, const char *suspects_path,
	struct inbox **out, struct error *err)
{
	struct inbox *inbox = calloc(1, sizeof(*inbox));

	if (!inbox)
		return error_no_memory(err);
	inbox->ev = loop_ev(loop);
	inbox->replies = replies;
	inbox->suspects.path = suspects_path;
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
