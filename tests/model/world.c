/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from outside: requests, users, operators, and misfortune. */
#include "tests/model/model.h"

/* ---- the request: store_migration_begin(), store_migration_admit() ---- */

static void begin(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.message != MESSAGE_NONE || next.db.s_deleted || next.db.s_on_new ||
		next.db.s_status != STATUS_NONE || next.db.s_export != EX_NONE ||
		has_exclusive_operation(&next.db))
		return;
	next.db.s_status = STATUS_STARTING;
	next.message = MESSAGE_QUEUED;
	turn_step(
		turn, &next, CHANCE, "API", "sets S to starting and sends the request");
}

/* Once more when it was done already: the broker may deliver a message twice. */
static void deliver(struct turn *turn)
{
	struct state next = *turn->now;
	enum fairness fairness = next.message == MESSAGE_QUEUED ? FAIR : CHANCE;
	bool known = next.db.phase != NO_OPERATION;

	if (next.message == MESSAGE_NONE || next.a_dead)
		return;
	next.message = MESSAGE_DONE;
	if (known && rule(turn, RULE_DUPLICATE)) {
		turn_step(turn, &next, fairness, "manager A", "knows the request");
		return;
	}
	if (next.db.s_on_new || next.db.s_deleted || next.db.s_export != EX_NONE ||
		(!known && next.db.s_status != STATUS_STARTING) ||
		has_exclusive_operation(&next.db)) {
		if (next.db.s_status == STATUS_STARTING && !known)
			next.db.s_status = STATUS_NONE;
		turn_step(turn, &next, fairness, "manager A", "refuses the request");
		return;
	}
	if (known)
		next.wrong = WRONG_TWICE;
	next.db.s_status = STATUS_STARTING;
	next.db.phase = PHASE_QUEUED;
	next.db.cancel = 0;
	turn_step(turn, &next, fairness, "manager A",
		"admits the request: a row, queued");
}

/* A row in starting without an operation is set back after a minute. */
static void set_back(struct turn *turn)
{
	struct state next = *turn->now;

	if (!rule(turn, RULE_STARTING) || next.db.s_status != STATUS_STARTING ||
		next.db.phase != NO_OPERATION)
		return;
	next.db.s_status = STATUS_NONE;
	turn_step(turn, &next, FAIR, "scheduler", "sets S back: its request was lost");
}

/* ---- users ---- */

/* store_volume_idle() */
static bool is_idle(const struct turn *turn)
{
	return !rule(turn, RULE_ADMISSION) || !has_exclusive_operation(&turn->now->db);
}

/* store_export_connect(), store_export_disconnect() */
static void attach(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.db.s_deleted)
		return;
	if (next.db.s_export == EX_WANTED || next.db.s_export == EX_OPEN) {
		next.db.s_export = EX_CLOSING;
		turn_step(turn, &next, CHANCE, "user", "disconnects S");
	} else if (next.db.s_export == EX_NONE && is_idle(turn)) {
		next.db.s_export = EX_WANTED;
		turn_step(turn, &next, CHANCE, "user", "connects S");
	}
}

static void write_as_user(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.user_on_a && next.old_content == FIRST) {
		next.old_content = next.truth = USER_ON_OLD;
		turn_step(turn, &next, CHANCE, "user", "writes to S on host A");
	}
	next = *turn->now;
	if (next.user_on_b && next.truth != USER_ON_NEW) {
		next.seen_0 = next.stable_0 = USER_ON_NEW;
		next.truth = USER_ON_NEW;
		turn_step(turn, &next, CHANCE, "user", "writes to S on host B");
	}
}

/* store_delete_volume() */
static void delete_volume(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.db.s_deleted || next.db.s_export != EX_NONE || !is_idle(turn) ||
		next.db.s_status != STATUS_NONE)
		return;
	next.db.s_deleted = 1;
	if (next.db.s_on_new)
		next.db.new_garbage = G_WAITING;
	else
		next.db.old_garbage = G_WAITING;
	turn_step(turn, &next, CHANCE, "user", "deletes S");
}

/* ---- operators ---- */

static void cancel(struct turn *turn)
{
	struct state next = *turn->now;

	if (!is_unfinished(&next.db) || next.db.cancel ||
		!phase_can_cancel((enum phase)next.db.phase))
		return;
	next.db.cancel = 1;
	turn_step(turn, &next, CHANCE, "operator", "cancels the migration");
}

/* os-reset_status, or S's row deleted behind our back. */
static void interfere(struct turn *turn)
{
	struct state next = *turn->now, purged = next;

	if (!has_exclusive_operation(&next.db))
		return;
	next.db.s_status = STATUS_NONE;
	turn_misfortune(
		turn, &next, INTERFERENCE, "admin", "resets migration_status of S");
	if (purged.db.s_deleted || purged.db.s_on_new)
		return;
	purged.db.s_deleted = purged.purged = 1;
	turn_misfortune(
		turn, &purged, INTERFERENCE, "admin", "deletes S's row by hand");
}

/* Host B has burnt down and the old object is still there. */
static void adopt_old(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.b != HOST_DEAD || !next.db.s_on_new || next.db.s_deleted ||
		next.old_object != OBJECT_THERE || next.adopted)
		return;
	next.adopted = 1;
	next.db.s_on_new = 0;
	next.db.s_export = EX_NONE;
	next.truth = next.old_content;
	turn_step(
		turn, &next, CHANCE, "admin", "puts S back on its old object by hand");
}

/* ---- misfortune ---- */

static void fail_over(struct turn *turn)
{
	struct state next = *turn->now;

	if (!next.lagging)
		return;
	next.lagging = next.lost = 0;
	next.standby = (struct rows) { 0 };
	turn_step(turn, &next, FAIR, "standby", "catches up");
	if (!turn_unlucky(turn, LOST_PRIMARY))
		return;
	next.db = turn->now->standby;
	next.misfortunes++;
	turn_step(turn, &next, RESTORE, "database",
		"fails over to the standby, the last commits are lost");
}

static void kill_workers(struct turn *turn)
{
	for (unsigned i = 0; i < 2; i++) {
		struct state next = *turn->now;

		if (!next.worker[i].alive)
			continue;
		next.worker[i] = (struct worker) { 0 };
		turn_misfortune(
			turn, &next, KILLED, i ? "old worker" : "worker", "is killed");
	}
}

/* The worker is stopped for a while and its manager lost from sight: a new one of the
 * same host will claim, on this machine or on another that got the lease. */
static void lose_worker(struct turn *turn)
{
	struct state next = *turn->now;

	if (!next.worker[0].alive || next.worker[1].alive)
		return;
	next.worker[1] = next.worker[0];
	next.worker[0] = (struct worker) { 0 };
	turn_misfortune(
		turn, &next, MOVED, "manager A", "restarts, its worker still runs");
	next.worker[1].elsewhere = 1;
	turn_misfortune(turn, &next, MOVED, "manager A",
		"comes up on another machine, the worker still runs on the first");
}

static void stop_host_b(struct state *next)
{
	next->servers = 0;
	next->user_on_b = 0;
	next->maker = MAKER_NONE;
	next->retire_new = RETIRE_NONE;
	next->seen_0 = next->stable_0;
	next->seen_1 = next->stable_1;
}

static void lose_hosts(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.a_dead || next.b == HOST_DEAD)
		return;
	next.a_dead = 1;
	next.user_on_a = 0;
	next.retire_old = RETIRE_NONE;
	next.worker[0] = next.worker[1] = (struct worker) { 0 };
	turn_misfortune(turn, &next, HOST_A_DEAD, "host A", "dies for ever");

	next = *turn->now;
	stop_host_b(&next);
	next.b = HOST_DEAD;
	turn_misfortune(turn, &next, HOST_B_DEAD, "host B", "dies for ever");
}

static void reboot_b(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.b != HOST_UP)
		return;
	stop_host_b(&next);
	next.b = HOST_REBOOTING;
	turn_misfortune(turn, &next, POWER_LOSS, "host B",
		"loses power: what was not flushed is gone");
}

static void return_b(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.b != HOST_REBOOTING)
		return;
	next.b = HOST_UP;
	turn_step(turn, &next, FAIR, "host B", "is back");
}

void world_turns(struct turn *turn)
{
	begin(turn);
	deliver(turn);
	set_back(turn);
	if (!turn->limits->alone) {
		attach(turn);
		write_as_user(turn);
		delete_volume(turn);
		cancel(turn);
	}
	interfere(turn);
	adopt_old(turn);
	fail_over(turn);
	return_b(turn);
	kill_workers(turn);
	lose_worker(turn);
	lose_hosts(turn);
	reboot_b(turn);
}
