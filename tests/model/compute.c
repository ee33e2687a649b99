/* SPDX-License-Identifier: Apache-2.0 */
/* Route compute, explored: a worker that may die anywhere (work_compute.c), the transactions
 * of common/store/compute*.c, and Nova, whose orders are late, doubled or lost, which fails
 * anywhere, also after the pivot, and whose answers are late, doubled or lost. Time is
 * whatever happens: nothing here may depend on how long something takes.
 *
 *	check-compute		all of it; and that each rule is needed
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/model/search.h"

enum { SWAPPING, HELD, MOVED, BACK };
enum { T_NONE, T_RESERVED, T_CONNECTED, T_ATTACHED }; /* T's attachment */
enum { OBJECT_LIVE, OBJECT_GARBAGE, OBJECT_KEPT };
enum { ON_S, ON_T, GONE };
enum { N_IDLE, N_RESERVED, N_CONNECTED, N_PIVOTED, N_COMPLETED, N_DETACHED, N_OVER };
enum { W_NONE, W_ASK, W_SEND, W_ACCEPT, W_BACK, W_BACK_GONE, W_SWITCH, W_HOLD };

/* The rules that can be left out. */
enum { RULE_LIVE, RULE_ROW, RULE_KEEP, RULE_HELD, RULE_DONE };
static const char *const rules[] = {
	[RULE_LIVE] = "attachments are counted where T is deleted",
	[RULE_ROW] = "T's row goes with its object: later orders do not find it",
	[RULE_KEEP] = "what was connected once is kept",
	[RULE_HELD] = "what was attached once is not decided here",
	[RULE_DONE] = "a completion counts only for a guest that has T",
	NULL,
};

struct state {
	uint8_t phase, attachment, object, guest, nova, worker;
	uint8_t asks, orders; /* asked for, and on their way */
	bool accepted, failed, row, source, connected, was_attached;
	bool says_ok, says_error; /* answers on their way */
};

#define MAX_ASKS 2
static void found(const struct state *s)
{
	search_found(s);
}

static bool rule(unsigned which)
{
	return search_rule(which);
}

/* ---- what must always be so ---- */

static const char *check(const void *state)
{
	const struct state *s = state;

	if (s->guest == ON_T && s->object == OBJECT_GARBAGE)
		return "the disk of a guest is removed";
	if (s->was_attached && s->object == OBJECT_GARBAGE)
		return "what a guest has written is removed";
	if (s->guest == ON_S && s->phase == MOVED)
		return "the volume is where its guest is not";
	/* It is copied still, or again: that would write to what is removed. */
	if (s->nova >= N_CONNECTED && s->nova < N_OVER && s->guest != GONE &&
		s->object == OBJECT_GARBAGE)
		return "what Compute copies to is removed";
	if (s->nova == N_RESERVED && !s->row && s->attachment != T_NONE)
		return "an attachment without a volume";
	return NULL;
}

/* ---- Nova ---- */

/* Its API reserves T, which the API tier allows once, and while there is a T. */
static void nova_hears(struct state s)
{
	s.orders--;
	if (s.nova == N_IDLE && s.row && s.attachment == T_NONE && s.guest == ON_S) {
		s.nova = N_RESERVED;
		s.attachment = T_RESERVED;
	}
	found(&s);
}

static void nova_goes_on(struct state s)
{
	switch (s.nova) {
	case N_RESERVED:
		/* initialize_connection of a volume that is not there fails. */
		if (!s.row)
			return;
		s.attachment = T_CONNECTED;
		s.connected = true;
		break;
	case N_CONNECTED:
		s.guest = ON_T;
		break;
	case N_PIVOTED:
		if (!s.row)
			return;
		s.attachment = T_ATTACHED;
		s.was_attached = true;
		break;
	case N_COMPLETED:
		s.source = false;
		break;
	case N_DETACHED:
		s.says_ok = true;
		break;
	default:
		return;
	}
	s.nova++;
	found(&s);
}

/* Anywhere, also behind the pivot: it cleans up, and calls it a failure; or says nothing. */
static void nova_fails(struct state s)
{
	if (s.nova == N_IDLE || s.nova == N_OVER)
		return;
	s.nova = N_OVER;
	for (int cleans = 0; cleans < 2; cleans++)
		for (int says = 0; says < 2; says++) {
			struct state next = s;

			if (cleans)
				next.attachment = T_NONE;
			next.says_error = says;
			found(&next);
		}
}

/* Its user deletes it; what it wrote behind the pivot and before that was said goes too. */
static void guest_is_deleted(struct state s)
{
	if (s.guest == GONE || (s.guest == ON_T && !s.was_attached))
		return;
	s.guest = GONE;
	s.nova = s.nova == N_IDLE ? N_IDLE : N_OVER;
	if (s.phase == SWAPPING || s.phase == HELD)
		s.attachment = T_NONE;
	s.source = false;
	found(&s);
}

/* ---- migrate_volume_completion ---- */

static void completion(struct state s, bool ok, bool lost)
{
	if (lost || s.phase == MOVED || s.phase == BACK) {
		/* It may come again for ever; without an effect. */
		if (ok)
			s.says_ok = false;
		else
			s.says_error = false;
		found(&s);
		return;
	}
	if (!ok)
		s.failed = true;
	else if (!s.failed && s.asks &&
		(!rule(RULE_DONE) || s.attachment == T_ATTACHED))
		s.phase = MOVED;
	found(&s);
}

/* An administrator sends one that is not true. */
static void false_completion(struct state s)
{
	if (s.phase == SWAPPING && s.attachment < T_ATTACHED)
		completion(s, true, false);
}

/* ---- the worker ---- */

static void looks(struct state s)
{
	bool touched = s.attachment != T_NONE || s.connected || s.was_attached;
	bool live = s.attachment != T_NONE;

	if (s.phase != SWAPPING && s.phase != HELD)
		return;
	if (s.phase == SWAPPING && !s.accepted && !s.failed) {
		/* Again only when it looks as if nothing came of it; or given up. */
		s.worker = touched ? W_ACCEPT : W_ASK;
		if (touched || s.asks < MAX_ASKS)
			found(&s);
		s.worker = W_BACK;
		if (!touched && s.asks)
			found(&s);
		return;
	}
	if (!s.failed && s.attachment == T_ATTACHED && !s.source) {
		s.worker = W_SWITCH;
		found(&s);
	}
	s.worker = W_HOLD;
	found(&s);
	if (live || (s.was_attached && rule(RULE_HELD)))
		return;
	s.worker = s.guest == GONE ? W_BACK_GONE : W_BACK;
	found(&s);
}

/* store_swap_give_up(): looks again. Of a server that is gone nothing can be new. */
static void gives_up(struct state *s, bool gone)
{
	if ((rule(RULE_LIVE) && s->attachment != T_NONE) ||
		(rule(RULE_HELD) && s->was_attached))
		return;
	s->phase = BACK;
	s->object =
		s->connected && !gone && rule(RULE_KEEP) ? OBJECT_KEPT : OBJECT_GARBAGE;
	if (rule(RULE_ROW))
		s->row = false;
}

/* What it has decided, a while ago. */
static void acts(struct state s)
{
	uint8_t what = s.worker;

	s.worker = W_NONE;
	if (s.phase == MOVED || s.phase == BACK) {
		found(&s); /* fenced */
		return;
	}
	switch (what) {
	case W_ASK:
		s.asks++;
		s.worker = W_SEND;
		break;
	case W_SEND:
		s.orders++;
		break;
	case W_ACCEPT:
		s.accepted = true;
		break;
	case W_BACK:
	case W_BACK_GONE:
		gives_up(&s, what == W_BACK_GONE);
		break;
	case W_SWITCH:
		if (s.attachment == T_ATTACHED && !s.source)
			s.phase = MOVED;
		break;
	case W_HOLD:
		s.phase = HELD;
		break;
	default:
		break;
	}
	found(&s);
}

/* The answer came with the order. */
static void is_told(struct state s)
{
	if (s.nova != N_IDLE && s.asks && !s.accepted && s.phase == SWAPPING) {
		s.accepted = true;
		found(&s);
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
		nova_hears(s);
	nova_goes_on(s);
	nova_fails(s);
	guest_is_deleted(s);
	for (int lost = 0; lost < 2; lost++) {
		if (s.says_ok)
			completion(s, true, lost);
		if (s.says_error)
			completion(s, false, lost);
	}
	false_completion(s);
	if (s.worker == W_NONE)
		looks(s);
	else {
		acts(s);
		dies(s);
		if (s.worker == W_SEND && s.orders < MAX_ASKS) {
			s.orders++; /* sent, and it dies before it knows */
			dies(s);
		}
	}
	is_told(*now);
}

static void show(const void *state)
{
	const struct state *s = state;

	printf("#  phase %d attachment %d object %d guest %d nova %d worker %d asks %d"
	       " orders %d accepted %d failed %d row %d source %d connected %d"
	       " was_attached %d ok %d error %d\n",
		s->phase, s->attachment, s->object, s->guest, s->nova, s->worker,
		s->asks, s->orders, s->accepted, s->failed, s->row, s->source,
		s->connected, s->was_attached, s->says_ok, s->says_error);
}

int main(void)
{
	static const struct state first = { .row = true, .source = true };
	static const struct search_model model = { .name = "route compute",
		.size = sizeof(first),
		.first = &first,
		.step = step,
		.check = check,
		.show = show,
		.rules = rules };

	return search_run(&model) != 0;
}
