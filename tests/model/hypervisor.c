/* SPDX-License-Identifier: Apache-2.0 */
/* Route compute without Nova, explored: a worker that may die anywhere (work_hypervisor.c), and
 * drover-compute, whose orders are late, doubled or lost, which is silent, fails, or forgets
 * what it does; a guest that is deleted, or dies while it goes over; an operator who cancels.
 * Time is whatever happens, but for this: what it forgets, by losing its files, it forgets
 * after what was sent to it has arrived or expired, and not between two questions of a look.
 *
 *	check-hypervisor	all of it; and that each rule is needed
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/model/search.h"

enum { SWAPPING, HELD, MOVED, BACK };
enum { OBJECT_LIVE, OBJECT_GARBAGE, OBJECT_KEPT };
enum { ON_S, ON_T, GONE };
enum { R_NONE, R_COPYING, R_PIVOTING, R_MOVED, R_FAILED, R_CANCELLED, R_HELD };
enum {
	W_NONE,
	W_ASK,
	W_SEND,
	W_CANCEL, /* because somebody wishes so */
	W_FORGET, /* because it knows nothing of it */
	W_REFUSED, /* because it said no */
	W_BACK,
	W_KEEP,
	W_SWITCH,
	W_HOLD
};

/* The rules that can be left out. */
enum { RULE_NOTED, RULE_CANCEL, RULE_TARGET, RULE_KEEP, RULE_CALL, RULE_TOLD };
static const char *const rules[] = {
	[RULE_NOTED] = "the hypervisor writes an order down before it begins",
	[RULE_CANCEL] = "before T goes its order is cancelled for ever",
	[RULE_TARGET] = "what failed with T in the guest is not decided here",
	[RULE_KEEP] = "of what was forgotten T is kept",
	[RULE_CALL] = "only the hypervisor can call that the guest has moved",
	[RULE_TOLD] = "what an operator decides is told to the hypervisor first",
	NULL,
};

struct state {
	uint8_t phase, object, worker, asks, orders; /* orders: on their way */
	uint8_t guest, record; /* what the hypervisor has written down */
	bool job; /* something writes to T */
	bool accepted, cancel; /* noted; wished by an operator */
	bool forgotten; /* noted: it knew nothing of what it had accepted */
	bool calls, called; /* its call is on its way; noted */
	bool late_cancel; /* on its way, nobody waits for the answer */
};

#define MAX_ASKS 2

static void found(const struct state *s)
{
	search_found(s);
}

static const char *check(const void *state)
{
	const struct state *s = state;

	if (s->guest == ON_T && s->object == OBJECT_GARBAGE)
		return "the disk of a guest is removed";
	if (s->job && s->object == OBJECT_GARBAGE)
		return "what is copied to is removed";
	if (s->guest == ON_S && s->phase == MOVED)
		return "the volume is where its guest is not";
	if (s->guest == ON_T && s->phase == BACK)
		return "the guest has left the volume, which stays";
	return NULL;
}

/* ---- the hypervisor ---- */

/* False: refused. */
static bool takes_order(struct state *s)
{
	if (s->record != R_NONE)
		return s->record != R_CANCELLED;
	if (s->guest != ON_S || s->job)
		return false;
	s->record = R_COPYING;
	s->job = true;
	return true;
}

static void takes_cancel(struct state *s)
{
	if (s->record == R_COPYING)
		s->job = false;
	if (s->record == R_COPYING || s->record == R_NONE)
		s->record = R_CANCELLED;
}

static void hears(struct state s)
{
	struct state next = s;

	next.orders--;
	found(&next); /* it expires */
	takes_order(&next);
	found(&next);
	/* It dies in the middle. */
	if (!search_rule(RULE_NOTED) && s.record == R_NONE) {
		next.record = R_NONE;
		found(&next);
	}
}

static void ends(struct state s, uint8_t record, uint8_t guest)
{
	s.record = record;
	s.guest = guest;
	s.job = false;
	s.calls = record == R_MOVED;
	found(&s);
}

static void goes_on(struct state s)
{
	switch (s.record) {
	case R_COPYING:
		ends(s, R_FAILED, s.guest);
		s.record = R_PIVOTING;
		found(&s);
		break;
	case R_PIVOTING:
		ends(s, R_FAILED, ON_S);
		ends(s, R_MOVED, ON_T);
		/* Its process dies; or somebody helps by hand. */
		ends(s, R_HELD, ON_S);
		ends(s, R_HELD, ON_T);
		ends(s, R_FAILED, ON_T);
		break;
	case R_HELD:
		if (s.guest != GONE)
			ends(s, s.guest == ON_T ? R_MOVED : R_FAILED, s.guest);
		break;
	default:
		break;
	}
}

static void forgets(struct state s)
{
	if (!s.accepted || s.orders || s.late_cancel || s.worker == W_CANCEL ||
		s.record == R_FAILED || s.record == R_CANCELLED)
		return;
	s.record = R_NONE;
	found(&s);
}

static void guest_is_deleted(struct state s)
{
	if (s.guest == GONE)
		return;
	s.guest = GONE;
	s.job = false;
	if (s.record == R_COPYING)
		s.record = R_FAILED;
	else if (s.record == R_PIVOTING)
		s.record = R_HELD;
	found(&s);
}

/* ---- calls and operators ---- */

static void completion(struct state s)
{
	s.calls = false;
	found(&s); /* lost */
	if (s.phase == SWAPPING || s.phase == HELD)
		s.called = true;
	found(&s);
}

static void others(struct state s)
{
	struct state next = s;

	next.cancel = true;
	found(&next);
	if (s.asks && !search_rule(RULE_CALL))
		completion(s);
	if (s.phase != HELD)
		return;
	/* He has looked. Without an answer, or when it goes over just now, he is refused. */
	s.phase = s.guest == ON_T ? MOVED : BACK;
	if (s.phase == BACK) {
		if (search_rule(RULE_TOLD))
			takes_cancel(&s);
		if (s.record == R_PIVOTING && search_rule(RULE_TOLD))
			return;
		if (s.record == R_HELD)
			s.record = R_FAILED;
		s.object = OBJECT_KEPT;
	}
	found(&s);
}

/* ---- the worker ---- */

static bool is_over(const struct state *s)
{
	return s->record == R_FAILED || s->record == R_CANCELLED;
}

static uint8_t unknown(const struct state *s)
{
	if (s->guest == ON_T)
		return W_SWITCH;
	if (!s->accepted && !s->cancel && s->guest == ON_S && s->phase == SWAPPING &&
		s->asks < MAX_ASKS)
		return W_ASK;
	return W_FORGET;
}

static void by_status(struct state s)
{
	switch (s.record) {
	case R_MOVED:
		s.worker = s.guest == ON_S ? W_HOLD : W_SWITCH;
		break;
	case R_FAILED:
	case R_CANCELLED:
		s.worker = W_BACK;
		if (s.guest == ON_T && search_rule(RULE_TARGET))
			s.worker = W_HOLD;
		else if (s.forgotten && search_rule(RULE_KEEP))
			s.worker = W_KEEP;
		break;
	case R_HELD:
		s.worker = W_HOLD;
		break;
	case R_NONE:
		s.forgotten = s.forgotten || s.accepted;
		s.worker = unknown(&s);
		break;
	default:
		s.accepted = true;
		s.worker = s.cancel && s.worker != W_CANCEL ? W_CANCEL : W_NONE;
		break;
	}
	found(&s);
}

static void looks(struct state s)
{
	if (s.phase != SWAPPING && s.phase != HELD)
		return;
	if (!s.asks) {
		s.worker = s.cancel ? W_BACK : W_ASK;
		found(&s);
		s.worker = W_BACK; /* nobody has the guest */
		found(&s);
		return;
	}
	by_status(s);
	/* It does not answer. */
	s.worker = s.called ? W_SWITCH : W_HOLD;
	found(&s);
}

static void asks(struct state s)
{
	s.worker = W_NONE;
	found(&s); /* it was cancelled meanwhile */
	s.asks++;
	s.worker = W_SEND;
	found(&s);
}

static void sends(struct state s)
{
	struct state lost = s;

	lost.orders++;
	lost.worker = W_NONE;
	found(&lost);
	if (takes_order(&s)) {
		by_status(s);
		return;
	}
	s.worker = W_REFUSED;
	found(&s);
}

/* What it says once it was told to cancel. */
static void cancels(struct state s)
{
	uint8_t why = s.worker;
	struct state lost = s;

	lost.worker = W_NONE;
	lost.late_cancel = true;
	found(&lost);
	if (why == W_CANCEL || search_rule(RULE_CANCEL))
		takes_cancel(&s);
	else
		s.record = s.record == R_NONE ? R_CANCELLED : s.record;
	if (why == W_CANCEL || !is_over(&s) || s.guest == ON_T) {
		if (why == W_FORGET)
			s.worker = W_HOLD;
		else
			return by_status(s);
	} else if (s.forgotten && search_rule(RULE_KEEP)) {
		s.worker = W_KEEP;
	} else {
		s.worker = W_BACK;
	}
	/* As if it had not been told. */
	if (!search_rule(RULE_CANCEL) && s.record == R_CANCELLED)
		s.record = R_NONE;
	found(&s);
}

static void changes(struct state s, uint8_t what)
{
	s.worker = W_NONE;
	if (what == W_SWITCH) {
		s.phase = MOVED;
	} else if (what == W_HOLD) {
		s.phase = HELD;
	} else {
		s.phase = BACK;
		s.object = what == W_KEEP ? OBJECT_KEPT : OBJECT_GARBAGE;
	}
	found(&s);
}

/* What it has decided, a while ago. */
static void acts(struct state s)
{
	if (s.phase == MOVED || s.phase == BACK) {
		s.worker = W_NONE;
		found(&s); /* fenced */
		return;
	}
	switch (s.worker) {
	case W_ASK:
		asks(s);
		break;
	case W_SEND:
		sends(s);
		break;
	case W_CANCEL:
	case W_FORGET:
	case W_REFUSED:
		cancels(s);
		break;
	default:
		changes(s, s.worker);
		break;
	}
}

static void dies(struct state s)
{
	s.worker = W_NONE;
	found(&s);
}

/* ---- all of it ---- */

static void step(const void *state)
{
	const struct state *now = state;
	struct state s = *now;

	if (s.orders)
		hears(s);
	if (s.late_cancel) {
		struct state next = s;

		next.late_cancel = false;
		takes_cancel(&next);
		found(&next);
	}
	goes_on(s);
	forgets(s);
	guest_is_deleted(s);
	if (s.calls)
		completion(s);
	others(s);
	if (s.worker == W_NONE) {
		looks(s);
	} else {
		acts(s);
		dies(s);
	}
}

static void show(const void *state)
{
	const struct state *s = state;

	printf("#  phase %d object %d worker %d asks %d orders %d guest %d record %d"
	       " job %d accepted %d forgotten %d cancel %d calls %d called %d late %d\n",
		s->phase, s->object, s->worker, s->asks, s->orders, s->guest, s->record,
		s->job, s->accepted, s->forgotten, s->cancel, s->calls, s->called,
		s->late_cancel);
}

int main(void)
{
	static const struct state first = { .phase = SWAPPING };
	static const struct search_model model = { .name = "route compute without Nova",
		.size = sizeof(first),
		.first = &first,
		.step = step,
		.check = check,
		.show = show,
		.rules = rules };

	return search_run(&model) != 0;
}
