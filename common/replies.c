/* SPDX-License-Identifier: Apache-2.0 */
#include "common/replies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/envelope.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/publisher.h"
#include "common/text.h"

#define MOST_WAITING 256
#define KEEP_S 60
#define KEEP_UNROUTABLE_S 10
#define RETRY_S 0.25
/* Other watchers get their turn after this long. */
#define SLICE_S 0.05

struct reply {
	struct reply *next;
	struct rpc_address to;
	char *body;
	double drop_at;
	bool unroutable; /* drop_at has been brought forward */
};

struct replies {
	struct ev_loop *ev;
	struct publisher *publisher;
	struct reply *first, **end;
	size_t count;
	ev_timer retry;
};

static void reply_free(struct reply *reply)
{
	if (!reply)
		return;
	free(reply->body);
	free(reply);
}
DEFINE_AUTO(struct reply *, reply_free)

static void give_up(struct reply *reply, const char *why)
{
	log_warning("reply dropped queue=%s id=%s reason='%s'", reply->to.queue,
		reply->to.id, why);
	reply_free(reply);
}

static int publish(struct replies *replies, struct reply *reply, struct error *err)
{
	const struct publication m = {
		.exchange = "",
		.key = reply->to.queue,
		.mandatory = true,
		.body = reply->body,
		.length = strlen(reply->body),
	};

	if (publisher_send(replies->publisher, &m, false, err) == 0)
		return 0;
	if (err->code == ERR_UNROUTABLE && !reply->unroutable) {
		reply->unroutable = true;
		reply->drop_at = clock_seconds() + KEEP_UNROUTABLE_S;
	}
	return -1;
}

static void keep(struct replies *replies, struct reply *reply)
{
	reply->next = NULL;
	*replies->end = reply;
	replies->end = &reply->next;
	replies->count++;
	if (!ev_is_active(&replies->retry))
		ev_timer_again(replies->ev, &replies->retry);
}

static struct reply *take_first(struct replies *replies)
{
	struct reply *reply = replies->first;

	replies->first = reply->next;
	if (!replies->first)
		replies->end = &replies->first;
	replies->count--;
	return reply;
}

/* Try each once; stop at the first that finds no broker. */
static void on_retry(EV_P_ ev_timer *watcher, int events)
{
	struct replies *replies = watcher->data;
	double until = clock_seconds() + SLICE_S;
	bool away = false;

	for (size_t left = replies->count; left && clock_seconds() < until; left--) {
		AUTO(reply_free) struct reply *reply = take_first(replies);
		struct error err = { .text = "the broker is away" };

		if (!away && publish(replies, reply, &err) == 0)
			continue;
		away = away || err.code != ERR_UNROUTABLE;
		if (clock_seconds() >= reply->drop_at)
			give_up(steal(reply), err.text);
		else
			keep(replies, steal(reply));
	}
	if (!replies->count)
		ev_timer_stop(EV_A_ watcher);
}

static int reply_new(const struct rpc_address *to, struct json_object *result,
	const struct error *failure, struct reply **out)
{
	AUTO(json_object_put)
	struct json_object *message = envelope_reply(to, result, failure);
	AUTO(reply_free) struct reply *reply = calloc(1, sizeof(*reply));

	if (reply)
		reply->body = envelope_seal(message);
	if (!reply || !reply->body)
		return -1;
	reply->to = *to;
	reply->drop_at = clock_seconds() + KEEP_S;
	*out = steal(reply);
	return 0;
}

void replies_send(struct replies *replies, const struct rpc_address *to,
	struct json_object *result, const struct error *failure)
{
	AUTO(reply_free) struct reply *reply = NULL;
	struct error err;

	if (reply_new(to, result, failure, &reply) < 0) {
		log_error("reply dropped queue=%s id=%s reason='out of memory'",
			to->queue, to->id);
		return;
	}
	if (!replies->count && publish(replies, reply, &err) == 0)
		return;
	if (replies->count >= MOST_WAITING)
		give_up(steal(reply), "too many replies are waiting for the broker");
	else
		keep(replies, steal(reply));
}

int replies_new(struct loop *loop, struct publisher *publisher, struct replies **out,
	struct error *err)
{
	struct replies *replies = calloc(1, sizeof(*replies));

	if (!replies)
		return error_no_memory(err);
	replies->ev = loop_ev(loop);
	replies->publisher = publisher;
	replies->end = &replies->first;
	ev_timer_init(&replies->retry, on_retry, RETRY_S, RETRY_S);
	replies->retry.data = replies;
	*out = replies;
	return 0;
}

void replies_free(struct replies *replies)
{
	if (!replies)
		return;
	ev_timer_stop(replies->ev, &replies->retry);
	while (replies->count)
		give_up(take_first(replies), "stopping");
	free(replies);
}
