/* SPDX-License-Identifier: Apache-2.0 */
#include "common/link.h"

#include <stddef.h>
#include <stdlib.h>

#include "common/dialer.h"
#include "common/loop.h"
#include "common/rpc.h"
#include "common/text.h"

/* Other watchers get their turn after this long. */
#define DRAIN_SLICE_S 0.05

struct link {
	struct ev_loop *ev;
	struct link_owner owner;
	const struct rpc_options *options;
	struct dialer dialer;
	struct broker *broker;
	bool started, paused, stopped;
	ev_io readable;
	ev_timer connect; /* the next attempt */
	ev_timer beat; /* half the heartbeat interval */
	ev_timer more; /* a drain that gave way goes on */
};

static void drop(struct link *link, bool politely)
{
	if (!link->broker)
		return;
	ev_io_stop(link->ev, &link->readable);
	ev_timer_stop(link->ev, &link->beat);
	ev_timer_stop(link->ev, &link->more);
	if (politely)
		broker_close_politely(steal(link->broker));
	else
		broker_close(steal(link->broker));
	link->owner.on_down(link->owner.arg);
}

static void connect_later(struct link *link)
{
	ev_timer_stop(link->ev, &link->connect);
	ev_timer_set(&link->connect, dialer_wait(&link->dialer), 0.);
	ev_timer_start(link->ev, &link->connect);
}

void link_lost(struct link *link, const struct error *reason)
{
	if (!link->broker)
		return;
	dialer_bad(&link->dialer, reason);
	drop(link, false);
	if (!link->paused && !link->stopped)
		connect_later(link);
}

/* -1: the connection is lost, and link_lost() has been called. */
static int take_one(struct link *link, bool *empty)
{
	struct broker_event event;
	struct error err;
	int rc = broker_next(link->broker, 0, &event, &err);

	*empty = rc == 0;
	if (rc > 0 && event.kind == BROKER_CONSUMER_LOST)
		rc = error_set(&err, ERR_BROKER,
			"broker %s: a queue was deleted under its consumer '%s'",
			broker_name(link->broker), event.text);
	if (rc < 0) {
		link_lost(link, &err);
		return -1;
	}
	if (rc > 0 && event.kind == BROKER_DELIVERY)
		link->owner.on_delivery(link->owner.arg, &event);
	return link->broker ? 0 : -1;
}

static void drain(struct link *link)
{
	double until = clock_seconds() + DRAIN_SLICE_S;
	bool empty = false;

	while (!empty) {
		if (take_one(link, &empty) < 0)
			return;
		if (clock_seconds() > until) {
			ev_timer_stop(link->ev, &link->more);
			ev_timer_set(&link->more, 0., 0.);
			ev_timer_start(link->ev, &link->more);
			return;
		}
	}
}

static void on_readable(EV_P_ ev_io *watcher, int events)
{
	drain(watcher->data);
}

static void on_timer(EV_P_ ev_timer *watcher, int events)
{
	struct link *link = watcher->data;

	if (link->broker)
		drain(link);
}

static void watch(struct link *link)
{
	int heartbeat_s = broker_heartbeat_s(link->broker);
	double half = heartbeat_s > 0 ? heartbeat_s / 2.0 : 30;

	ev_io_set(&link->readable, broker_fd(link->broker), EV_READ);
	ev_io_start(link->ev, &link->readable);
	ev_timer_set(&link->beat, half, half);
	ev_timer_start(link->ev, &link->beat);
	/* Deliveries may have come in between the answers to the declarations. */
	ev_timer_set(&link->more, 0., 0.);
	ev_timer_start(link->ev, &link->more);
}

static int try_connect(struct link *link, struct error *err)
{
	AUTO(broker_close) struct broker *broker = NULL;
	double stall_s =
		link->options->heartbeat_s > 0 ? link->options->heartbeat_s : 60;

	if (dialer_dial(&link->dialer, DIAL_TIMEOUT_S, stall_s, &broker, err) < 0)
		return -1;
	if (link->owner.declare(link->owner.arg, broker, err) < 0)
		return -1;
	link->broker = steal(broker);
	return 0;
}

static void on_connect(EV_P_ ev_timer *watcher, int events)
{
	struct link *link = watcher->data;
	struct error err;

	if (link->broker || link->paused || link->stopped)
		return;
	if (try_connect(link, &err) < 0) {
		dialer_bad(&link->dialer, &err);
		connect_later(link);
		return;
	}
	dialer_good(&link->dialer, link->broker);
	watch(link);
	link->owner.on_up(link->owner.arg);
}

int link_new(struct loop *loop, const struct rpc_options *options,
	const struct link_owner *owner, struct link **out, struct error *err)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return error_no_memory(err);
	link->ev = loop_ev(loop);
	link->owner = *owner;
	link->options = options;
	dialer_init(&link->dialer, options, "requests");
	ev_init(&link->readable, on_readable);
	ev_init(&link->connect, on_connect);
	ev_init(&link->beat, on_timer);
	ev_init(&link->more, on_timer);
	link->readable.data = link->connect.data = link;
	link->beat.data = link->more.data = link;
	*out = link;
	return 0;
}

void link_start(struct link *link)
{
	if (link->started)
		return;
	link->started = true;
	connect_later(link);
}

void link_pause(struct link *link, bool paused)
{
	if (link->paused == paused)
		return;
	link->paused = paused;
	if (paused) {
		ev_timer_stop(link->ev, &link->connect);
		drop(link, true);
	} else if (link->started && !link->stopped) {
		connect_later(link);
	}
}

void link_stop(struct link *link)
{
	link->stopped = true;
	ev_timer_stop(link->ev, &link->connect);
	drop(link, true);
}

void link_free(struct link *link)
{
	if (!link)
		return;
	link_stop(link);
	free(link);
}

struct broker *link_broker(struct link *link)
{
	return link->broker;
}
