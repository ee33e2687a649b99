/* SPDX-License-Identifier: Apache-2.0 */
#include "common/publisher.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/dialer.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/rpc.h"
#include "common/text.h"

struct publisher {
	struct ev_loop *ev; /* NULL without a loop */
	const struct rpc_options *options;
	struct dialer dialer;
	struct broker *broker; /* NULL: not connected */
	bool blocked;
	char blocked_why[256];
	ev_io readable;
	ev_timer beat; /* half the heartbeat; the next attempt when not connected */
};

/* How a publication ended, when it did. */
struct outcome {
	bool settled, refused, returned;
	char text[256];
};

static void set_timer(struct publisher *p, double after)
{
	if (!p->ev)
		return;
	ev_timer_stop(p->ev, &p->beat);
	ev_timer_set(&p->beat, after, 0.);
	ev_timer_start(p->ev, &p->beat);
}

static void lose(struct publisher *p, const struct error *reason)
{
	dialer_bad(&p->dialer, reason);
	if (p->broker && p->ev)
		ev_io_stop(p->ev, &p->readable);
	broker_close(steal(p->broker));
	p->blocked = false;
	set_timer(p, dialer_wait(&p->dialer));
}

static int set_up(struct publisher *p, struct broker *broker, struct error *err)
{
	const struct rpc_options *o = p->options;

	if (broker_confirm(broker, err) < 0)
		return -1;
	return broker_declare_exchange(broker, o->exchange, "topic",
		o->durable || o->quorum, o->auto_delete, err);
}

static double half_heartbeat(struct publisher *p)
{
	int heartbeat_s = broker_heartbeat_s(p->broker);

	return heartbeat_s > 0 ? heartbeat_s / 2.0 : 30;
}

static int connect_within(struct publisher *p, double timeout_s, struct error *err)
{
	AUTO(broker_close) struct broker *broker = NULL;

	if (timeout_s > DIAL_TIMEOUT_S)
		timeout_s = DIAL_TIMEOUT_S;
	if (dialer_dial(&p->dialer, timeout_s, p->options->confirm_timeout_s, &broker,
		    err) < 0 ||
		set_up(p, broker, err) < 0) {
		lose(p, err);
		return -1;
	}
	p->broker = steal(broker);
	p->blocked = false;
	if (p->ev) {
		ev_io_set(&p->readable, broker_fd(p->broker), EV_READ);
		ev_io_start(p->ev, &p->readable);
		set_timer(p, half_heartbeat(p));
	}
	return 0;
}

static int not_connected(struct publisher *p, struct error *err)
{
	return error_set(err, ERR_BROKER, "the broker is away: %s",
		p->dialer.reason[0] ? p->dialer.reason : "not connected");
}

int publisher_connect(struct publisher *p, struct error *err)
{
	if (p->broker)
		return 0;
	if (dialer_wait(&p->dialer) > 0)
		return not_connected(p, err);
	return publisher_connect_now(p, err);
}

int publisher_connect_now(struct publisher *p, struct error *err)
{
	return p->broker ? 0 : connect_within(p, p->options->confirm_timeout_s, err);
}

/* Note what the broker says; settle the publication with this number. */
static void on_event(struct publisher *p, const struct broker_event *event,
	uint64_t number, struct outcome *outcome)
{
	switch (event->kind) {
	case BROKER_BLOCKED:
		if (!p->blocked)
			log_warning("broker takes no messages broker=%s reason='%s'",
				broker_name(p->broker), event->text);
		p->blocked = true;
		snprintf(p->blocked_why, sizeof(p->blocked_why), "%s", event->text);
		break;
	case BROKER_UNBLOCKED:
		log_info("broker takes messages again broker=%s",
			broker_name(p->broker));
		p->blocked = false;
		break;
	case BROKER_RETURNED:
		outcome->returned = true;
		snprintf(outcome->text, sizeof(outcome->text), "%s", event->text);
		break;
	case BROKER_CONFIRMED:
	case BROKER_REFUSED:
		if (event->tag != number && !(event->multiple && event->tag > number))
			break;
		outcome->settled = true;
		outcome->refused = event->kind == BROKER_REFUSED;
		break;
	default:
		break;
	}
}

/* Take what is there. -1: the connection was lost. */
static int drain(struct publisher *p, struct error *err)
{
	struct outcome ignored = { 0 };
	struct broker_event event;
	int rc;

	while ((rc = broker_next(p->broker, 0, &event, err)) > 0)
		on_event(p, &event, 0, &ignored);
	if (rc < 0)
		lose(p, err);
	return rc;
}

static int confirm_timed_out(struct publisher *p, struct error *err)
{
	if (p->blocked)
		/* Kept: the broker will say when it reads again. */
		return error_set(err, ERR_BROKER, "broker %s takes no messages: %s",
			broker_name(p->broker), p->blocked_why);
	error_set(err, ERR_BROKER, "broker %s did not confirm within %.1f s",
		broker_name(p->broker), p->options->confirm_timeout_s);
	lose(p, err);
	return -1;
}

static int wait_confirm(
	struct publisher *p, uint64_t number, double deadline, struct error *err)
{
	struct outcome outcome = { 0 };
	struct broker_event event;

	while (!outcome.settled) {
		double left = deadline - clock_seconds();
		int rc = broker_next(p->broker, left > 0 ? left : 0, &event, err);

		if (rc < 0) {
			lose(p, err);
			return -1;
		}
		if (rc == 0)
			return confirm_timed_out(p, err);
		on_event(p, &event, number, &outcome);
	}
	dialer_good(&p->dialer, p->broker);
	if (outcome.returned)
		return error_set(err, ERR_UNROUTABLE,
			"the broker has no queue for it: %s", outcome.text);
	if (outcome.refused)
		return error_set(err, ERR_BROKER, "broker %s refused the message",
			broker_name(p->broker));
	return 0;
}

static int send_once(struct publisher *p, const struct publication *m, bool fanout,
	double deadline, struct error *err)
{
	uint64_t number;

	if (drain(p, err) < 0)
		return -1;
	if (p->blocked)
		return error_set(err, ERR_BROKER, "broker %s takes no messages: %s",
			broker_name(p->broker), p->blocked_why);
	/* Fanout exchanges vanish with their last queue. */
	if ((fanout &&
		    broker_declare_exchange(p->broker, m->exchange, "fanout",
			    p->options->transient_quorum, true, err) < 0) ||
		broker_publish(p->broker, m, &number, err) < 0) {
		lose(p, err);
		return -1;
	}
	return wait_confirm(p, number, deadline, err);
}

int publisher_send(struct publisher *p, const struct publication *m, bool fanout,
	struct error *err)
{
	double deadline = clock_seconds() + p->options->confirm_timeout_s;

	if (publisher_connect(p, err) < 0)
		return -1;
	if (send_once(p, m, fanout, deadline, err) == 0)
		return 0;
	/* The connection may have been dead for long without our knowing; receivers drop
	 * the second of two messages with one unique id. */
	if (p->broker || clock_seconds() > deadline - 0.5)
		return -1;
	if (connect_within(p, deadline - clock_seconds(), err) < 0)
		return -1;
	return send_once(p, m, fanout, deadline, err);
}

static void on_readable(EV_P_ ev_io *watcher, int events)
{
	struct publisher *p = watcher->data;
	struct error err;

	drain(p, &err);
}

static void on_beat(EV_P_ ev_timer *watcher, int events)
{
	struct publisher *p = watcher->data;
	struct error err;

	if (p->broker) {
		if (drain(p, &err) == 0)
			set_timer(p, half_heartbeat(p));
		return;
	}
	if (publisher_connect(p, &err) == 0)
		dialer_good(&p->dialer, p->broker);
	else if (!ev_is_active(&p->beat))
		set_timer(p, dialer_wait(&p->dialer));
}

int publisher_new(struct loop *loop, const struct rpc_options *options,
	struct publisher **out, struct error *err)
{
	struct publisher *p = calloc(1, sizeof(*p));

	if (!p)
		return error_no_memory(err);
	p->ev = loop ? loop_ev(loop) : NULL;
	p->options = options;
	dialer_init(&p->dialer, options, "sending");
	ev_init(&p->readable, on_readable);
	ev_init(&p->beat, on_beat);
	p->readable.data = p->beat.data = p;
	set_timer(p, 0);
	*out = p;
	return 0;
}

void publisher_free(struct publisher *p)
{
	if (!p)
		return;
	if (p->ev) {
		ev_timer_stop(p->ev, &p->beat);
		ev_io_stop(p->ev, &p->readable);
	}
	/* A blocked broker does not read our goodbye. */
	if (p->blocked)
		broker_close(p->broker);
	else
		broker_close_politely(p->broker);
	free(p);
}
