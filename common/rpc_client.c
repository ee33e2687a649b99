/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/broker.h"
#include "common/dialer.h"
#include "common/envelope.h"
#include "common/publisher.h"
#include "common/rpc-names.h"
#include "common/text.h"

struct rpc_client {
	struct rpc_options options;
	struct publisher *publisher;
	struct broker
		*answers; /* consumes the reply queue; NULL until the first call */
	char reply_queue[64];
};

int rpc_client_open(
	const struct rpc_options *options, struct rpc_client **out, struct error *err)
{
	AUTO(rpc_client_close) struct rpc_client *client = calloc(1, sizeof(*client));
	int rc = -1;

	if (!client)
		return error_no_memory(err);
	client->options = *options;
	if (publisher_new(NULL, &client->options, &client->publisher, err) < 0)
		return -1;
	/* Each attempt takes the next host. */
	for (size_t i = 0; i < options->url.host_count && rc < 0; i++)
		rc = publisher_connect_now(client->publisher, err);
	if (rc < 0)
		return -1;
	*out = steal(client);
	return 0;
}

void rpc_client_close(struct rpc_client *client)
{
	if (!client)
		return;
	broker_close_politely(client->answers);
	publisher_free(client->publisher);
	free(client);
}

static int send_to(struct rpc_client *client, const char *topic, const char *server,
	int64_t expiration_ms, struct json_object *request, struct error *err)
{
	AUTO(free) char *body = envelope_seal(request);
	char key[ROUTING_KEY_SIZE];
	struct publication m = {
		.exchange = client->options.exchange,
		.key = key,
		.mandatory = true,
		.expiration_ms = expiration_ms,
		.body = body,
	};

	if (!body)
		return error_no_memory(err);
	m.length = strlen(body);
	if (name_queue(key, topic, server, err) < 0)
		return -1;
	return publisher_send(client->publisher, &m, false, err);
}

int rpc_client_cast(struct rpc_client *client, const char *topic, const char *server,
	const char *method, const char *version, const char *request_id,
	struct json_object *args, struct error *err)
{
	AUTO(json_object_put) struct json_object *request = NULL;

	request = envelope_request(method, version, request_id, args, NULL);
	if (send_to(client, topic, server, 0, request, err) < 0)
		return error_context(err, "cast '%s' to '%s'", method, topic);
	return 0;
}

/* --- calls */

static int consume_answers(
	struct rpc_client *client, struct broker *broker, struct error *err)
{
	char hex[HEX_ID_SIZE];
	struct broker_queue queue = {
		.name = client->reply_queue,
		.durable = client->options.transient_quorum,
		.quorum = client->options.transient_quorum,
		.transient = true,
		.expires_s = client->options.transient_ttl_s,
	};

	hex_id_make(hex);
	snprintf(client->reply_queue, sizeof(client->reply_queue), "reply_%s", hex);
	if (broker_declare_queue(broker, &queue, err) < 0)
		return -1;
	return broker_consume(broker, client->reply_queue, "answers", err);
}

static int open_answers(struct rpc_client *client, struct error *err)
{
	AUTO(broker_close) struct broker *broker = NULL;
	size_t hosts = client->options.url.host_count;
	double stall_s = client->options.confirm_timeout_s;
	int rc = -1;

	if (client->answers)
		return 0;
	for (size_t host = 0; host < hosts && rc < 0; host++)
		rc = broker_open(
			&client->options, host, DIAL_TIMEOUT_S, stall_s, &broker, err);
	if (rc < 0 || consume_answers(client, broker, err) < 0)
		return -1;
	client->answers = steal(broker);
	return 0;
}

/* As envelope_read_reply(). */
static int take_answer(struct rpc_client *client, const struct broker_event *event,
	const char *id, struct json_object **result, struct error *err)
{
	AUTO(json_object_put) struct json_object *message = NULL;

	if (event->kind != BROKER_DELIVERY)
		return 0;
	if (broker_ack(client->answers, event->tag, err) < 0)
		return -1;
	if (!event->body)
		return error_set(err, ERR_INVALID_INPUT, "the answer is too large");
	if (envelope_open(event->body, event->size, &message, err) < 0)
		return -1;
	return envelope_read_reply(message, id, result, err);
}

/* 1 an answer, 0 none until then. A failure that was sent is ended by *failed. */
static int next_answer(struct rpc_client *client, const char *id, double deadline,
	struct json_object **result, bool *failed, struct error *err)
{
	int rc = 0;

	*failed = false;
	while (rc == 0) {
		double left = deadline - clock_seconds();
		struct broker_event event;

		rc = broker_next(client->answers, left > 0 ? left : 0, &event, err);
		if (rc < 0) {
			broker_close(steal(client->answers));
			return -1;
		}
		if (rc == 0)
			return 0;
		rc = take_answer(client, &event, id, result, err);
		*failed = rc < 0;
	}
	return rc;
}

static int wait_answer(struct rpc_client *client, const char *id,
	struct json_object **result, struct error *err)
{
	double seconds = client->options.response_timeout_s;
	bool failed;
	int rc = next_answer(
		client, id, clock_seconds() + seconds, result, &failed, err);

	if (rc == 0)
		return error_set(err, ERR_TIMEOUT, "no answer within %.0f s", seconds);
	return rc < 0 ? -1 : 0;
}

/* The first that is more than "null". */
static int wait_any_answer(struct rpc_client *client, const char *id, double seconds,
	struct json_object **result, struct error *err)
{
	const double deadline = clock_seconds() + seconds;
	struct error why, last;
	bool failed, any_failed = false;

	for (;;) {
		int rc = next_answer(client, id, deadline, result, &failed, &why);

		if (rc < 0 && !failed)
			return *err = why, -1;
		if (rc > 0 && *result)
			return 1;
		if (rc == 0)
			break;
		any_failed = any_failed || failed;
		if (failed)
			last = why;
	}
	if (any_failed)
		return *err = last, -1;
	return 0;
}

static void make_reply_address(
	struct rpc_client *client, const char *id, struct rpc_address *out)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->id, sizeof(out->id), "%s", id);
	snprintf(out->queue, sizeof(out->queue), "%s", client->reply_queue);
}

int rpc_client_call(struct rpc_client *client, const char *topic, const char *server,
	const char *method, const char *version, struct json_object *args,
	struct json_object **result, struct error *err)
{
	AUTO(json_object_put) struct json_object *request = NULL;
	struct rpc_address reply;
	char id[HEX_ID_SIZE];

	if (open_answers(client, err) < 0)
		return error_context(err, "call '%s' of '%s'", method, topic);
	hex_id_make(id);
	make_reply_address(client, id, &reply);
	request = envelope_request(method, version, NULL, args, &reply);
	if (send_to(client, topic, server,
		    (int64_t)(client->options.response_timeout_s * 1000), request,
		    err) < 0 ||
		wait_answer(client, id, result, err) < 0)
		return error_context(err, "call '%s' of '%s'", method, topic);
	return 0;
}

int rpc_client_call_any(struct rpc_client *client, const char *topic,
	const char *method, const char *version, struct json_object *args,
	double seconds, struct json_object **result, struct error *err)
{
	AUTO(json_object_put) struct json_object *request = NULL;
	AUTO(free) char *body = NULL;
	char exchange[ROUTING_KEY_SIZE], id[HEX_ID_SIZE];
	struct publication m = { .exchange = exchange, .key = topic };
	struct rpc_address reply;
	int found = -1;

	*result = NULL;
	if (name_fanout(exchange, topic, err) < 0 || open_answers(client, err) < 0)
		return error_context(err, "call '%s' of all '%s'", method, topic);
	hex_id_make(id);
	make_reply_address(client, id, &reply);
	request = envelope_request(method, version, NULL, args, &reply);
	body = envelope_seal(request);
	if (!body)
		return error_no_memory(err);
	m.body = body;
	m.length = strlen(body);
	/* Whoever hears it later is not waited for. */
	m.expiration_ms = (int64_t)(seconds * 1000);
	if (publisher_send(client->publisher, &m, true, err) == 0)
		found = wait_any_answer(client, id, seconds, result, err);
	return found < 0 ? error_context(err, "call '%s' of all '%s'", method, topic)
			 : found;
}
