/* SPDX-License-Identifier: Apache-2.0 */
/* The rules by name, and what all actors share. */
#include <string.h>

#include "common/auto.h"
#include "tests/model/model.h"

static const struct {
	const char *name, *text;
} rules[RULE_COUNT] = {
	[RULE_EPOCH] = { "epoch", "every update of a worker carries its epoch" },
	[RULE_FRESH_EPOCH] = { "fresh-epoch",
		"no two claims have the same epoch, even when a fail-over lost one" },
	[RULE_FLOCK] = { "flock",
		"a lock keeps two works on one thing of a host apart" },
	[RULE_CLOSE_OLD] = { "close-old",
		"a new epoch opens its export when the old ones are closed" },
	[RULE_REAP] = { "reap", "the owner writes closed only after reaping" },
	[RULE_NO_OPEN_EXPORT] = { "no-open-export",
		"the switch demands that no export is open" },
	[RULE_NOT_CANCELLED] = { "not-cancelled",
		"the switch demands that nobody "
		"cancelled" },
	[RULE_COMPLETE] = { "complete", "the switch demands checkpoint = size" },
	[RULE_UNCHANGED] = { "unchanged", "the switch demands that S is what it was" },
	[RULE_FLUSH] = { "flush", "a checkpoint comes after a flush" },
	[RULE_READ_BACK] = { "read-back", "a checkpoint comes after reading back" },
	[RULE_STANDBY_MAKE] = { "standby-make",
		"T's object is made and named when its row is on the standby" },
	[RULE_STANDBY_OPEN] = { "standby-open",
		"an export is served when its row is on the standby" },
	[RULE_STANDBY_RETIRE] = { "standby-retire",
		"a leftover is touched when its row is on the standby" },
	[RULE_LOOK_AGAIN] = { "look-again",
		"a leftover is touched after a fresh look at the rows" },
	[RULE_RENAME_FIRST] = { "rename-first",
		"a leftover is renamed before it is "
		"removed" },
	[RULE_ROW_LOCK] = { "row-lock",
		"the way back reads the phase under the lock it writes with" },
	[RULE_ADMISSION] = { "admission",
		"connecting and deleting are refused while S is migrated" },
	[RULE_DUPLICATE] = { "duplicate", "a request is known for ever" },
	[RULE_IDENTITY] = { "identity", "T's object is recognised by its identity" },
	[RULE_STARTING] = { "starting", "starting without an operation is set back" },
	[RULE_ORPHAN] = { "orphan",
		"the target's host takes back what a dead host left" },
};

const char *rule_name(enum rule rule)
{
	return rules[rule].name;
}

const char *rule_text(enum rule rule)
{
	return rules[rule].text;
}

enum rule rule_from_name(const char *name)
{
	unsigned i = 0;

	while (i < RULE_COUNT && strcmp(rules[i].name, name) != 0)
		i++;
	return (enum rule)i;
}

/* ---- rows ---- */

void set_export(struct rows *rows, unsigned slot, enum export_state state)
{
	unsigned kept = rows->exports & ~(7u << (3 * slot));

	rows->exports = (kept | (unsigned)state << (3 * slot)) & 0777;
}

void close_exports(struct rows *rows)
{
	for (unsigned slot = 0; slot < SLOTS; slot++)
		if (export_of(rows, slot) == EX_WANTED ||
			export_of(rows, slot) == EX_OPEN)
			set_export(rows, slot, EX_CLOSING);
}

bool has_open_export(const struct rows *rows)
{
	for (unsigned slot = 0; slot < SLOTS; slot++)
		if (export_of(rows, slot) != EX_NONE)
			return true;
	return false;
}

bool is_unfinished(const struct rows *rows)
{
	return rows->phase != NO_OPERATION && !phase_is_final((enum phase)rows->phase);
}

bool has_exclusive_operation(const struct rows *rows)
{
	return is_unfinished(rows) && rows->phase != PHASE_SETTLING;
}

/* ---- turns ---- */

bool turn_unlucky(const struct turn *turn, enum misfortune kind)
{
	return turn->limits->kinds >> kind & 1 &&
		turn->now->misfortunes < turn->limits->misfortunes;
}

/* What makes no difference any more is made equal: fewer states. */
static void forget(struct state *next)
{
	bool working = false;

	for (unsigned i = 0; i < 2; i++) {
		struct worker *worker = &next->worker[i];

		working = working || worker->alive;
		if (worker->connected && !(next->servers >> worker->slot & 1) &&
			worker->at != AT_WRITE && worker->at != AT_VERIFY)
			worker->connected = worker->slot = worker->block = 0;
	}
	if (next->new_object == OBJECT_NONE && !next->servers)
		next->seen_0 = next->seen_1 = next->stable_0 = next->stable_1 = NEVER;
	if (next->db.phase == NO_OPERATION || is_unfinished(&next->db))
		return;
	next->db.checkpoint = next->db.cancel = 0;
	if (working || next->lagging)
		return;
	next->claims = next->db.epoch = 0;
}

static void take(
	struct turn *turn, struct state *next, const char *who, const char *what)
{
	struct state kept = *next;

	forget(&kept);
	turn->take(turn, &kept, who, what);
}

static void commit(
	struct turn *turn, struct state *next, const char *who, const char *what)
{
	if (next->lagging && ++next->lost > turn->limits->lost_commits) {
		next->lagging = next->lost = 0;
		next->standby = (struct rows) { 0 };
	}
	take(turn, next, who, what);
	/* A standby that misses something matters only when it may take over. */
	if (turn->now->lagging || turn->limits->lost_commits == 0 ||
		!turn_unlucky(turn, LOST_PRIMARY) ||
		next->misfortunes == turn->limits->misfortunes)
		return;
	next->lagging = next->lost = 1;
	next->standby = turn->now->db;
	take(turn, next, who, what);
}

void turn_step(struct turn *turn, struct state *next, enum fairness fairness,
	const char *who, const char *what)
{
	struct state kept = *next;

	turn->step_is_fair = fairness == FAIR;
	turn->fair = turn->fair || fairness == FAIR;
	if (fairness != RESTORE &&
		memcmp(&next->db, &turn->now->db, sizeof(next->db)) != 0)
		commit(turn, &kept, who, what);
	else
		take(turn, &kept, who, what);
}

void turn_misfortune(struct turn *turn, struct state *next, enum misfortune kind,
	const char *who, const char *what)
{
	struct state kept = *next;

	if (!turn_unlucky(turn, kind))
		return;
	kept.misfortunes++;
	turn_step(turn, &kept, CHANCE, who, what);
}

void turn_move(struct turn *turn, struct state *next, enum phase to)
{
	enum phase from = (enum phase)next->db.phase;

	if (!phase_step_find("migrate_volume", from, to))
		next->wrong = WRONG_STEP;
	if (turn->moves && from < PHASE_COUNT)
		turn->moves[from * PHASE_COUNT + to] = 1;
	next->db.phase = to & 15;
}

void model_roll_back(struct turn *turn, struct state *next)
{
	struct rows *db = &next->db;

	if (db->t != T_NONE || db->s_on_new)
		db->new_garbage = G_WAITING;
	if (db->t != T_NONE)
		db->t = T_DELETED;
	db->s_status = STATUS_NONE;
	close_exports(db);
	turn_move(turn, next, db->cancel ? PHASE_CANCELLED : PHASE_FAILED);
}

void model_turns(struct turn *turn)
{
	turn->fair = false;
	worker_turns(turn);
	owner_turns(turn);
	world_turns(turn);
}

struct state model_start(bool foreign)
{
	struct state s = { 0 };

	s.db.phase = NO_OPERATION;
	s.old_object = OBJECT_THERE;
	s.old_content = s.truth = FIRST;
	s.foreign = foreign;
	return s;
}
