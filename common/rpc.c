/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/broker.h"
#include "common/envelope.h"
#include "common/inbox.h"
#include "common/link.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/publisher.h"
#include "common/replies.h"
#include "common/rpc-names.h"
#include "common/text.h"

#define MOST_SERVICES 256

struct rpc {
	struct ev_loop *ev;
	struct rpc_options options;
	struct publisher *publisher;
	struct replies *replies;
	struct inbox *inbox;
	struct link *link;
	struct service *services[MOST_SERVICES];
	size_t service_count;
	bool stopped;
	ev_timer stop_later; /* rpc_stop() was called by a handler */
	void (*on_ready)(void *arg);
	void *on_ready_arg;
};

void rpc_options_defaults(struct rpc_options *options)
{
	*options = (struct rpc_options) {
		.exchange = "openstack",
		.heartbeat_s = 60,
		.prefetch = 32,
		.transient_ttl_s = 1800,
		.confirm_timeout_s = 5,
		.response_timeout_s = 60,
		.max_message_bytes = 4 << 20,
		.tls_verify = true,
	};
}

/* --- services */

static void service_free(struct service *s)
{
	if (!s)
		return;
	free(s->topic);
	free(s->server);
	free(s->version);
	free(s->fanout_queue);
	free(s);
}
DEFINE_AUTO(struct service *, service_free)

static int service_new(
	const struct rpc_service *from, struct service **out, struct error *err)
{
	AUTO(service_free) struct service *s = calloc(1, sizeof(*s));
	char hex[HEX_ID_SIZE];

	if (!s)
		return error_no_memory(err);
	hex_id_make(hex);
	s->topic = strdup(from->topic);
	s->server = strdup(from->server);
	s->version = strdup(from->version);
	s->fanout_queue = text_format("%s_fanout_%s", from->topic, hex);
	if (!s->topic || !s->server || !s->version || !s->fanout_queue)
		return error_no_memory(err);
	s->methods = from->methods;
	s->arg = from->arg;
	*out = steal(s);
	return 0;
}

/* Consumers are named "<service> <queue kind>"; the number finds the way back. */
static int consume(struct rpc *rpc, struct broker *broker, size_t index,
	const char *queue, const char *kind, struct error *err)
{
	char consumer[64];

	snprintf(consumer, sizeof(consumer), "%zu %s", index, kind);
	return broker_consume(broker, queue, consumer, err);
}

static int serve_topic(struct rpc *rpc, struct broker *broker, size_t index,
	const char *name, const char *kind, struct error *err)
{
	const struct rpc_options *o = &rpc->options;
	const struct broker_queue queue = {
		.name = name,
		.durable = o->durable || o->quorum,
		.auto_delete = o->auto_delete,
		.quorum = o->quorum,
	};

	if (broker_declare_queue(broker, &queue, err) < 0 ||
		broker_bind(broker, name, o->exchange, name, err) < 0)
		return -1;
	return consume(rpc, broker, index, name, kind, err);
}

static int serve_fanout(
	struct rpc *rpc, struct broker *broker, size_t index, struct error *err)
{
	const struct rpc_options *o = &rpc->options;
	const struct service *s = rpc->services[index];
	const struct broker_queue queue = {
		.name = s->fanout_queue,
		.durable = o->transient_quorum,
		.quorum = o->transient_quorum,
		.transient = true,
		.expires_s = o->transient_ttl_s,
	};
	char exchange[ROUTING_KEY_SIZE];

	if (name_fanout(exchange, s->topic, err) < 0 ||
		broker_declare_exchange(broker, exchange, "fanout", o->transient_quorum,
			true, err) < 0 ||
		broker_declare_queue(broker, &queue, err) < 0 ||
		broker_bind(broker, s->fanout_queue, exchange, s->topic, err) < 0)
		return -1;
	return consume(rpc, broker, index, s->fanout_queue, "fanout", err);
}

/* Does an earlier service consume this queue already? */
static bool is_shared(struct rpc *rpc, size_t index, const char *queue)
{
	char key[ROUTING_KEY_SIZE];

	for (size_t i = 0; i < index; i++) {
		const struct service *s = rpc->services[i];

		if (strcmp(s->topic, queue) == 0 ||
			(name_queue(key, s->topic, s->server, NULL) == 0 &&
				strcmp(key, queue) == 0))
			return true;
	}
	return false;
}

static int declare_service(
	struct rpc *rpc, struct broker *broker, size_t index, struct error *err)
{
	const struct service *s = rpc->services[index];
	char key[ROUTING_KEY_SIZE];

	if (name_queue(key, s->topic, s->server, err) < 0)
		return -1;
	if (!is_shared(rpc, index, s->topic) &&
		serve_topic(rpc, broker, index, s->topic, "topic", err) < 0)
		return -1;
	if (!is_shared(rpc, index, key) &&
		serve_topic(rpc, broker, index, key, "server", err) < 0)
		return -1;
	return serve_fanout(rpc, broker, index, err);
}

/* --- the link's callbacks */

static int on_declare(void *arg, struct broker *broker, struct error *err)
{
	struct rpc *rpc = arg;
	const struct rpc_options *o = &rpc->options;

	if (broker_prefetch(broker, o->prefetch, err) < 0 ||
		broker_declare_exchange(broker, o->exchange, "topic",
			o->durable || o->quorum, o->auto_delete, err) < 0)
		return -1;
	for (size_t i = 0; i < rpc->service_count; i++)
		if (declare_service(rpc, broker, i, err) < 0)
			return -1;
	return 0;
}

static void on_up(void *arg)
{
	struct rpc *rpc = arg;
	struct error ignored; /* it goes on trying, and has logged it */

	publisher_connect(rpc->publisher, &ignored);
	if (rpc->on_ready)
		rpc->on_ready(rpc->on_ready_arg);
}

static void on_down(void *arg)
{
	struct rpc *rpc = arg;

	inbox_forget_tags(rpc->inbox);
}

static void on_delivery(void *arg, const struct broker_event *event)
{
	struct rpc *rpc = arg;
	size_t index = strtoul(event->text, NULL, 10);

	if (index < rpc->service_count)
		inbox_deliver(rpc->inbox, rpc->services[index], event);
}

/* --- the public calls */

static void on_stop_later(EV_P_ ev_timer *watcher, int events)
{
	struct rpc *rpc = watcher->data;

	link_stop(rpc->link);
}

int rpc_new(struct loop *loop, const struct rpc_options *options, struct rpc **out,
	struct error *err)
{
	AUTO(rpc_free) struct rpc *rpc = calloc(1, sizeof(*rpc));
	struct link_owner owner = {
		.declare = on_declare,
		.on_up = on_up,
		.on_down = on_down,
		.on_delivery = on_delivery,
		.arg = rpc,
	};

	if (!rpc)
		return error_no_memory(err);
	rpc->ev = loop_ev(loop);
	rpc->options = *options;
	if (rpc->options.prefetch <= 0 || rpc->options.prefetch > UINT16_MAX)
		rpc->options.prefetch = 32;
	ev_timer_init(&rpc->stop_later, on_stop_later, 0., 0.);
	rpc->stop_later.data = rpc;
	if (publisher_new(loop, &rpc->options, &rpc->publisher, err) < 0 ||
		replies_new(loop, rpc->publisher, &rpc->replies, err) < 0 ||
		inbox_new(loop, rpc->replies, rpc->options.suspects_path, &rpc->inbox,
			err) < 0 ||
		link_new(loop, &rpc->options, &owner, &rpc->link, err) < 0)
		return -1;
	inbox_set_link(rpc->inbox, rpc->link);
	*out = steal(rpc);
	return 0;
}

void rpc_free(struct rpc *rpc)
{
	if (!rpc)
		return;
	ev_timer_stop(rpc->ev, &rpc->stop_later);
	if (rpc->inbox)
		inbox_stop(rpc->inbox);
	link_free(rpc->link);
	inbox_free(rpc->inbox);
	replies_free(rpc->replies);
	publisher_free(rpc->publisher);
	for (size_t i = 0; i < rpc->service_count; i++)
		service_free(rpc->services[i]);
	free(rpc);
}

int rpc_serve(struct rpc *rpc, const struct rpc_service *service, struct error *err)
{
	AUTO(service_free) struct service *s = NULL;
	struct broker *broker = link_broker(rpc->link);
	struct error reason;
	size_t index = rpc->service_count;

	if (index == MOST_SERVICES)
		return error_set(err, ERR_CONFIG,
			"more than %d services in one process", MOST_SERVICES);
	if (service_new(service, &s, err) < 0)
		return -1;
	rpc->services[rpc->service_count++] = steal(s);
	if (broker && declare_service(rpc, broker, index, &reason) < 0)
		link_lost(rpc->link, &reason);
	else if (broker && rpc->on_ready)
		rpc->on_ready(rpc->on_ready_arg);
	link_start(rpc->link);
	return 0;
}

void rpc_pause(struct rpc *rpc, bool paused)
{
	link_pause(rpc->link, paused);
	if (paused)
		inbox_give_back(rpc->inbox);
}

void rpc_try_again(struct rpc *rpc)
{
	inbox_try_again(rpc->inbox);
}

void rpc_stop(struct rpc *rpc)
{
	/* A handler's own message is acknowledged first. */
	if (inbox_stop(rpc->inbox))
		ev_timer_start(rpc->ev, &rpc->stop_later);
	else
		link_stop(rpc->link);
}

bool rpc_is_ready(const struct rpc *rpc)
{
	return link_broker(rpc->link) != NULL;
}

void rpc_on_ready(struct rpc *rpc, void (*on_ready)(void *arg), void *arg)
{
	rpc->on_ready = on_ready;
	rpc->on_ready_arg = arg;
}

static int send_request(struct rpc *rpc, struct publication *m, bool fanout,
	struct json_object *request, struct error *err)
{
	AUTO(free) char *body = envelope_seal(request);

	if (!body)
		return error_no_memory(err);
	m->body = body;
	m->length = strlen(body);
	return publisher_send(rpc->publisher, m, fanout, err);
}

int rpc_cast(struct rpc *rpc, const char *topic, const char *server, bool mandatory,
	const char *method, const char *version, const char *request_id,
	struct json_object *args, struct error *err)
{
	AUTO(json_object_put) struct json_object *request = NULL;
	char key[ROUTING_KEY_SIZE];
	struct publication m = {
		.exchange = rpc->options.exchange,
		.key = key,
		.mandatory = mandatory,
	};

	request = envelope_request(method, version, request_id, args, NULL);
	if (name_queue(key, topic, server, err) < 0 ||
		send_request(rpc, &m, false, request, err) < 0)
		return error_context(err, "cast '%s' to '%s'", method, topic);
	return 0;
}

int rpc_fanout(struct rpc *rpc, const char *topic, const char *method,
	const char *version, struct json_object *args, struct error *err)
{
	AUTO(json_object_put) struct json_object *request = NULL;
	char exchange[ROUTING_KEY_SIZE];
	struct publication m = { .exchange = exchange, .key = topic };

	request = envelope_request(method, version, NULL, args, NULL);
	if (name_fanout(exchange, topic, err) < 0 ||
		send_request(rpc, &m, true, request, err) < 0)
		return error_context(err, "cast '%s' to all of '%s'", method, topic);
	return 0;
}

int rpc_forward(struct rpc *rpc, const struct rpc_request *request, const char *topic,
	const char *server, struct error *err)
{
	AUTO(json_object_put)
	struct json_object *message = envelope_forward(request->message);
	/* When a call's caller has given up its request goes, as oslo.messaging has it. */
	double keep_s = request->reply.id[0] ? rpc->options.response_timeout_s : 0;
	char key[ROUTING_KEY_SIZE];
	struct publication m = {
		.exchange = rpc->options.exchange,
		.key = key,
		.mandatory = true,
		.expiration_ms = (int64_t)(keep_s * 1000),
	};

	if (name_queue(key, topic, server, err) < 0 ||
		send_request(rpc, &m, false, message, err) < 0)
		return error_context(err, "send '%s' on to '%s'", request->method, key);
	return 0;
}

void rpc_reply(struct rpc *rpc, const struct rpc_address *to,
	struct json_object *result, const struct error *failure)
{
	if (to->id[0])
		replies_send(rpc->replies, to, result, failure);
}
