/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns the objects: host B's manager makes T and serves exports (scan.c,
 * work_export.c), each host works off its leftovers (work_garbage.c). */
#include "tests/model/model.h"

#define MANAGER_B "manager B"
#define MAKER "maker of T"

static void own_step(
	struct turn *turn, struct state *next, const char *who, const char *what)
{
	turn_step(turn, next, FAIR, who, what);
}

/* ---- T's object: work_make_object(), backend_create() ---- */

/* Two works on one object of a host exclude each other by the object's lock. */
static bool is_locked(const struct turn *turn, unsigned other)
{
	return rule(turn, RULE_FLOCK) && other != 0;
}

static void maker_starts(struct turn *turn)
{
	struct state next = *turn->now;

	if (is_locked(turn, next.retire_new))
		return;
	if (next.db.t == T_CREATING) {
		if (rule(turn, RULE_STANDBY_MAKE) && next.lagging &&
			next.standby.t == T_NONE)
			return;
		next.maker = MAKER_LOOKED;
		own_step(turn, &next, MAKER, "finds T's row: to be made");
	} else if (next.db.t == T_IDENTIFIED && next.new_object == OBJECT_NONE) {
		/* Removed after a way back that a fail-over has undone. */
		next.db.t = T_ERROR;
		own_step(turn, &next, MAKER, "commits that the object is gone");
	} else if (next.db.t == T_IDENTIFIED) {
		next.maker = next.new_object == OBJECT_UNNAMED ? MAKER_IDENTIFIED
							       : MAKER_NAMED;
		own_step(turn, &next, MAKER, "finds T's row: its identity is known");
	}
}

static void maker_makes(struct turn *turn)
{
	struct state next = *turn->now;
	bool name_taken = next.foreign || next.new_object == OBJECT_THERE;

	if (name_taken && rule(turn, RULE_IDENTITY)) {
		next.foreign = 0; /* it is left alone from here on */
		next.maker = MAKER_NONE;
		if (next.db.t == T_CREATING)
			next.db.t = T_ERROR;
		own_step(turn, &next, MAKER, "finds T's name taken by another object");
		return;
	}
	next.maker = MAKER_MADE;
	if (next.new_object == OBJECT_NONE)
		next.new_object = OBJECT_UNNAMED;
	if (next.foreign)
		next.wrong = WRONG_FOREIGN;
	own_step(turn, &next, MAKER, "makes the object, not named yet");
}

static void maker_gives_up(struct turn *turn)
{
	struct state next = *turn->now;

	next.maker = MAKER_NONE;
	if (next.new_object == OBJECT_UNNAMED)
		next.new_object = OBJECT_NONE;
	own_step(turn, &next, MAKER, "finds T's row changed, removes what it made");
}

/* store_object_identify() */
static void maker_identifies(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.db.t != T_CREATING) {
		maker_gives_up(turn);
		return;
	}
	next.maker = MAKER_IDENTIFIED;
	next.db.t = T_IDENTIFIED;
	own_step(turn, &next, MAKER, "commits the object's identity");
}

static void maker_names(struct turn *turn)
{
	struct state next = *turn->now;

	if (rule(turn, RULE_STANDBY_MAKE)) {
		if (next.lagging && next.standby.t != T_IDENTIFIED)
			return;
		if (next.db.t != T_IDENTIFIED) {
			maker_gives_up(turn);
			return;
		}
	}
	next.maker = MAKER_NAMED;
	if (next.new_object == OBJECT_UNNAMED)
		next.new_object = OBJECT_THERE;
	own_step(turn, &next, MAKER, "gives the object its name");
}

static void maker_ends(struct turn *turn)
{
	struct state next = *turn->now;

	next.maker = MAKER_NONE;
	if (next.db.t == T_IDENTIFIED && next.new_object == OBJECT_THERE)
		next.db.t = T_AVAILABLE;
	own_step(turn, &next, MAKER,
		"commits T as available, if its row waits for that");
}

static void maker_turn(struct turn *turn)
{
	static void (*const runs[])(struct turn * turn) = {
		[MAKER_NONE] = maker_starts,
		[MAKER_LOOKED] = maker_makes,
		[MAKER_MADE] = maker_identifies,
		[MAKER_IDENTIFIED] = maker_names,
		[MAKER_NAMED] = maker_ends,
	};

	runs[turn->now->maker](turn);
}

/* ---- exports of T: start_exports(), store_export_opened(), close_export() ---- */

static void open_export(struct turn *turn, unsigned slot)
{
	struct state next = *turn->now;

	if (next.servers >> slot & 1) {
		set_export(&next.db, slot, EX_OPEN);
		own_step(turn, &next, MANAGER_B, "commits the export as open");
		return;
	}
	if (next.new_object != OBJECT_THERE) {
		set_export(&next.db, slot, EX_NONE);
		own_step(turn, &next, MANAGER_B, "finds nothing to export");
		return;
	}
	if (rule(turn, RULE_STANDBY_OPEN) && next.lagging &&
		export_of(&next.standby, slot) == EX_NONE)
		return;
	next.servers |= 1u << slot & 7;
	own_step(turn, &next, MANAGER_B, "starts an export server for T");
}

static void close_export(struct turn *turn, unsigned slot)
{
	struct state next = *turn->now;

	if (next.servers >> slot & 1) {
		next.servers &= ~(1u << slot) & 7;
		own_step(turn, &next, MANAGER_B, "kills and reaps an export server");
		if (rule(turn, RULE_REAP))
			return;
		next = *turn->now;
	}
	set_export(&next.db, slot, EX_NONE);
	own_step(turn, &next, MANAGER_B, "commits the export as closed");
}

static void export_turn(struct turn *turn, unsigned slot)
{
	const struct state *s = turn->now;

	switch (export_of(&s->db, slot)) {
	case EX_WANTED:
		open_export(turn, slot);
		break;
	case EX_OPEN:
		if (!(s->servers >> slot & 1))
			close_export(turn, slot);
		break;
	case EX_CLOSING:
		close_export(turn, slot);
		break;
	default:
		break;
	}
}

/* ---- the user's attachment of S, on the host where S is ---- */

static void attachment_opens(struct turn *turn)
{
	struct state next = *turn->now;
	bool there = next.db.s_on_new ? next.new_object == OBJECT_THERE
				      : next.old_object == OBJECT_THERE;
	bool served = next.db.s_on_new ? next.user_on_b : next.user_on_a;

	if (!there || (served && next.db.s_export == EX_OPEN))
		return;
	if (!served && next.db.s_export == EX_WANTED && rule(turn, RULE_STANDBY_OPEN) &&
		next.lagging && next.standby.s_export != EX_WANTED)
		return;
	if (next.db.s_on_new)
		next.user_on_b = 1;
	else
		next.user_on_a = 1;
	next.db.s_export = EX_OPEN;
	own_step(turn, &next, next.db.s_on_new ? MANAGER_B : "manager A",
		"serves S to its user, commits that");
}

static void attachment_closes(struct turn *turn)
{
	struct state next = *turn->now;

	next.db.s_export = EX_NONE;
	if (rule(turn, RULE_REAP)) {
		if (next.db.s_on_new)
			next.user_on_b = 0;
		else
			next.user_on_a = 0;
	}
	own_step(turn, &next, next.db.s_on_new ? MANAGER_B : "manager A",
		"reaps the user's server, commits the attachment as closed");
}

static void attachment_turn(struct turn *turn)
{
	const struct state *s = turn->now;

	if (s->db.s_deleted || (s->db.s_on_new ? s->b != HOST_UP : s->a_dead))
		return;
	if (s->db.s_export == EX_CLOSING)
		attachment_closes(turn);
	else if (s->db.s_export != EX_NONE)
		attachment_opens(turn);
}

/* ---- leftovers: work_garbage(), work_retire() ---- */

struct leftover {
	struct turn *turn;
	bool is_new; /* T's object on B; else S's old one on A */
	const char *who;
};

static unsigned row_of(const struct leftover *left, const struct rows *rows)
{
	return left->is_new ? rows->new_garbage : rows->old_garbage;
}

static unsigned object_of(const struct leftover *left, const struct state *s)
{
	return left->is_new ? s->new_object : s->old_object;
}

static void set_row(
	const struct leftover *left, struct state *next, enum garbage_state state)
{
	if (left->is_new)
		next->db.new_garbage = state & 3;
	else
		next->db.old_garbage = state & 3;
}

static void set_object(
	const struct leftover *left, struct state *next, enum object object)
{
	if (left->is_new)
		next->new_object = object & 3;
	else
		next->old_object = object & 3;
}

static void retire_step(const struct leftover *left, struct state *next,
	enum retire_at at, const char *what)
{
	if (left->is_new)
		next->retire_new = at & 7;
	else
		next->retire_old = at & 7;
	own_step(left->turn, next, left->who, what);
}

/* store_garbage_in_use(): does a volume's row lead to the object? */
static bool is_used(const struct leftover *left, const struct rows *db)
{
	bool s_is_here = !db->s_deleted && db->s_on_new == left->is_new;
	bool t_is_here = left->is_new && db->t != T_NONE && db->t != T_DELETED;

	return s_is_here || t_is_here;
}

/* store_garbage_due(), store_garbage_claim() */
static void retire_claims(const struct leftover *left)
{
	struct state next = *left->turn->now;
	unsigned row = row_of(left, &next.db);

	if (row == G_NONE || is_used(left, &next.db))
		return;
	if (left->is_new && is_locked(left->turn, next.maker))
		return;
	retire_step(left, &next, RETIRE_CLAIMED, "claims a leftover");
}

/* The standby knows too that nobody uses it; and a fresh look. */
static void retire_looks(const struct leftover *left)
{
	struct state next = *left->turn->now;
	unsigned row = row_of(left, &next.db);
	bool gone = row == G_NONE || is_used(left, &next.db);

	if (rule(left->turn, RULE_STANDBY_RETIRE) && next.lagging &&
		(row_of(left, &next.standby) == G_NONE || is_used(left, &next.standby)))
		return;
	if (gone && rule(left->turn, RULE_LOOK_AGAIN))
		retire_step(left, &next, RETIRE_NONE, "looks again: leaves it alone");
	else if (row == G_RENAMED)
		retire_step(left, &next, RETIRE_REMOVE, "looks again: to be removed");
	else
		retire_step(left, &next, RETIRE_RENAME, "looks again: to be renamed");
}

/* backend_forget() and backend_retire(); a name of another identity is not touched. */
static void retire_renames(const struct leftover *left)
{
	struct state next = *left->turn->now;
	unsigned object = object_of(left, &next);

	if (!rule(left->turn, RULE_RENAME_FIRST)) {
		set_object(left, &next, OBJECT_NONE);
		retire_step(left, &next, RETIRE_IS_REMOVED, "removes the object");
		return;
	}
	if (object == OBJECT_UNNAMED)
		set_object(left, &next, OBJECT_NONE);
	else if (object == OBJECT_THERE)
		set_object(left, &next, OBJECT_TRASH);
	retire_step(
		left, &next, RETIRE_IS_RENAMED, "renames the object to its trash name");
}

static void retire_removes(const struct leftover *left)
{
	struct state next = *left->turn->now;

	if (object_of(left, &next) == OBJECT_TRASH)
		set_object(left, &next, OBJECT_NONE);
	retire_step(left, &next, RETIRE_IS_REMOVED,
		"removes the object with the trash name");
}

/* store_garbage_renamed(), store_garbage_removed() */
static void retire_commits(const struct leftover *left, enum garbage_state state)
{
	struct state next = *left->turn->now;
	unsigned row = row_of(left, &next.db);

	if (row != G_NONE)
		set_row(left, &next, state);
	retire_step(left, &next, RETIRE_NONE,
		state == G_RENAMED ? "commits the leftover as renamed"
				   : "commits the leftover as removed");
}

static void retire_turn(const struct leftover *left)
{
	const struct state *s = left->turn->now;

	switch (left->is_new ? s->retire_new : s->retire_old) {
	case RETIRE_NONE:
		retire_claims(left);
		break;
	case RETIRE_CLAIMED:
		retire_looks(left);
		break;
	case RETIRE_RENAME:
		retire_renames(left);
		break;
	case RETIRE_REMOVE:
		retire_removes(left);
		break;
	case RETIRE_IS_RENAMED:
		retire_commits(left, G_RENAMED);
		break;
	default:
		retire_commits(left, G_NONE);
		break;
	}
}

/* ---- an operation whose host does not come back ---- */

/* store_orphan_take_back(): the lease of the source's manager is out. Another manager takes
 * the migration back, by the same transaction as the worker would, with an epoch of its
 * own. A host that only was cut off from the database has its worker still. */
static void take_orphan(struct turn *turn)
{
	struct state next = *turn->now;

	if (!rule(turn, RULE_ORPHAN) || !is_unfinished(&next.db) ||
		!phase_can_cancel((enum phase)next.db.phase))
		return;
	next.claims += next.claims < 7;
	next.db.epoch =
		(rule(turn, RULE_FRESH_EPOCH) ? next.claims : next.db.epoch + 1) & 7;
	model_roll_back(turn, &next);
	if (!next.worker[0].alive && (next.a_dead || next.worker[1].elsewhere))
		own_step(turn, &next, MANAGER_B,
			"takes back the migration of a host that is gone");
	else
		turn_misfortune(turn, &next, MOVED, MANAGER_B,
			"takes back the migration of a host that is silent");
}

void owner_turns(struct turn *turn)
{
	const struct state *s = turn->now;
	const struct leftover old_one = { turn, false, "A's clean-up" };
	const struct leftover new_one = { turn, true, "B's clean-up" };

	attachment_turn(turn);
	if (!s->a_dead)
		retire_turn(&old_one);
	if (s->b != HOST_UP)
		return;
	maker_turn(turn);
	retire_turn(&new_one);
	take_orphan(turn);
	for (unsigned slot = 0; slot < SLOTS; slot++)
		export_turn(turn, slot);
}
