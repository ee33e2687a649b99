/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - the migration of one volume between two hosts, small enough to be tried in
 * every order.
 *
 * Host A has S, the volume that users know; host B gets T, the temporary one whose object
 * becomes S's in the switch. Every step is what is atomic in the real system: a
 * transaction, a system call, a message. Who does what is in worker.c (the source's
 * drover-worker), owner.c (the target's manager, export servers, leftovers) and world.c
 * (users, operators, misfortune). The rules that keep it safe can be switched off one by
 * one: each is there because without it something breaks.
 */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/phase.h"

#define BLOCKS 2
#define SLOTS 3 /* exports of T, ever */
#define MAX_CLAIMS 2 /* worker_attempts: later claims take the migration back */

enum rule {
	RULE_EPOCH,
	RULE_FRESH_EPOCH,
	RULE_FLOCK,
	RULE_CLOSE_OLD,
	RULE_REAP,
	RULE_NO_OPEN_EXPORT,
	RULE_NOT_CANCELLED,
	RULE_COMPLETE,
	RULE_UNCHANGED,
	RULE_FLUSH,
	RULE_READ_BACK,
	RULE_STANDBY_MAKE,
	RULE_STANDBY_OPEN,
	RULE_STANDBY_RETIRE,
	RULE_LOOK_AGAIN,
	RULE_RENAME_FIRST,
	RULE_ROW_LOCK,
	RULE_ADMISSION,
	RULE_DUPLICATE,
	RULE_IDENTITY,
	RULE_STARTING,
	RULE_ORPHAN,
	RULE_COUNT
};

/* "epoch"; what it demands, in one sentence; RULE_COUNT for a name nobody knows. */
const char *rule_name(enum rule rule);
const char *rule_text(enum rule rule);
enum rule rule_from_name(const char *name);

/* ---- what is in the database ---- */

enum migration_status {
	STATUS_NONE,
	STATUS_STARTING,
	STATUS_MIGRATING,
	STATUS_COMPLETING
};
enum temporary { T_NONE, T_CREATING, T_IDENTIFIED, T_AVAILABLE, T_DELETED, T_ERROR };
enum export_state { EX_NONE, EX_WANTED, EX_OPEN, EX_CLOSING }; /* closed: none */
enum garbage_state { G_NONE, G_WAITING, G_RENAMED }; /* removed: none */
#define NO_OPERATION PHASE_COUNT /* the row is not there */

struct rows {
	uint32_t s_on_new : 1; /* host and _name_id: S's object is T's */
	uint32_t s_deleted : 1;
	uint32_t s_status : 2; /* migration_status */
	uint32_t s_export : 3; /* of the user's attachment; none: not attached */
	uint32_t phase : 4; /* enum phase, NO_OPERATION */
	uint32_t epoch : 3;
	uint32_t cancel : 1;
	uint32_t checkpoint : 2; /* blocks */
	uint32_t t : 3; /* enum temporary */
	uint32_t spare : 12;
	uint32_t exports : 9; /* three bits for each slot */
	uint32_t old_garbage : 2, new_garbage : 2;
	uint32_t more_spare : 19;
};

/* ---- what is not ---- */

enum object { OBJECT_NONE, OBJECT_UNNAMED, OBJECT_THERE, OBJECT_TRASH };
enum message { MESSAGE_NONE, MESSAGE_QUEUED, MESSAGE_DONE };
enum host { HOST_UP, HOST_REBOOTING, HOST_DEAD };

/* Whose bytes a block holds. BAD: written wrongly. */
enum content { NEVER, FIRST, USER_ON_OLD, USER_ON_NEW, BAD };

/* Where a worker of A is. */
enum worker_at {
	AT_START, /* waits for the lock */
	AT_PREPARE,
	AT_WAIT_T,
	AT_CLOSE_OLD,
	AT_WANT,
	AT_CONNECT,
	AT_WRITE,
	AT_VERIFY,
	AT_CHECKPOINT,
	AT_SEAL,
	AT_CLOSE_ALL,
	AT_SWITCH,
	AT_SETTLE,
	AT_TAKE_BACK,
};

struct worker {
	uint16_t alive : 1;
	uint16_t elsewhere : 1; /* on another machine: no lock in common */
	uint16_t at : 4;
	uint16_t epoch : 3;
	uint16_t slot : 2; /* of its export */
	uint16_t connected : 1; /* until that export's server is dead */
	uint16_t block : 2;
	uint16_t spare : 2;
};

enum maker_at { MAKER_NONE, MAKER_LOOKED, MAKER_MADE, MAKER_IDENTIFIED, MAKER_NAMED };
enum retire_at {
	RETIRE_NONE,
	RETIRE_CLAIMED,
	RETIRE_RENAME,
	RETIRE_REMOVE,
	RETIRE_IS_RENAMED,
	RETIRE_IS_REMOVED,
};

/* What must not have happened, noted by the step that did it. */
enum wrong {
	WRONG_NOTHING,
	WRONG_CANCELLED,
	WRONG_RESET,
	WRONG_TWICE,
	WRONG_FOREIGN,
	WRONG_STEP,
};

struct state {
	struct rows db;
	struct rows standby; /* what a fail-over would bring back, while lagging */
	struct worker worker[2]; /* the manager's own one, and an old one */

	uint32_t lagging : 1;
	uint32_t lost : 3; /* commits that the standby has not got */
	uint32_t message : 2;
	uint32_t a_dead : 1;
	uint32_t b : 2;
	uint32_t servers : 3; /* alive, one bit for each slot */
	uint32_t next_slot : 2;
	uint32_t user_on_a : 1, user_on_b : 1; /* attachment servers alive */
	uint32_t maker : 3;
	uint32_t retire_old : 3, retire_new : 3;
	uint32_t old_object : 2, new_object : 2;
	uint32_t foreign : 1; /* somebody's object has T's name */
	uint32_t spare : 2;

	/* The bytes of T's object: what reads find, what survives a power loss. */
	uint32_t seen_0 : 3, stable_0 : 3, seen_1 : 3, stable_1 : 3;
	uint32_t old_content : 2; /* of the old object's block 0 */
	uint32_t truth : 2; /* what block 0 of S must hold for its user */
	uint32_t wrong : 3;
	uint32_t claims : 3;
	uint32_t more_spare : 10;

	/* What has happened already. */
	uint32_t misfortunes : 3;
	uint32_t purged : 1; /* by hand: what is left of S is not ours */
	uint32_t adopted : 1; /* by hand: S was put back on the old object */
	uint32_t most_spare : 27;
};

_Static_assert(sizeof(struct rows) == 8, "no padding");
_Static_assert(sizeof(struct state) == 32, "no padding");

/* ---- one turn: every step that can be taken in a state ---- */

enum misfortune {
	LOST_PRIMARY, /* the database fails over, the last commits are missing */
	KILLED, /* a worker */
	MOVED, /* a worker lives on, out of its manager's sight */
	HOST_A_DEAD,
	HOST_B_DEAD,
	POWER_LOSS, /* of host B */
	BAD_WRITE,
	UNKNOWN_COMMIT,
	INTERFERENCE, /* of an admin */
	MISFORTUNE_COUNT
};
#define ALL_MISFORTUNES ((1u << MISFORTUNE_COUNT) - 1)

struct limits {
	uint32_t without; /* bits of enum rule */
	uint32_t kinds; /* bits of enum misfortune */
	unsigned misfortunes; /* in one history */
	unsigned lost_commits; /* by a fail-over */
	bool alone; /* no users and no operators */
};

enum fairness {
	FAIR, /* happens in the end when nothing else does */
	CHANCE, /* may happen, or never */
	RESTORE, /* chance; the rows are another database's */
};

struct turn {
	const struct state *now;
	const struct limits *limits;
	bool fair; /* out: is there a fair step? */
	bool step_is_fair; /* the one that is being taken */
	uint8_t *moves; /* bits of from, to: moves of the operation that were made */
	void (*take)(struct turn *turn, const struct state *next, const char *who,
		const char *what);
	void *arg;
};

static inline bool rule(const struct turn *turn, enum rule rule)
{
	return !(turn->limits->without & (1u << rule));
}

/* The step that leads to next. A change of rows is a commit, and each commit may be the
 * first that the standby misses. */
void turn_step(struct turn *turn, struct state *next, enum fairness fairness,
	const char *who, const char *what);
/* May this happen, within the limits? */
bool turn_unlucky(const struct turn *turn, enum misfortune kind);
void turn_misfortune(struct turn *turn, struct state *next, enum misfortune kind,
	const char *who, const char *what);
/* The operation moves on, as the table in common/phase.c allows. */
void turn_move(struct turn *turn, struct state *next, enum phase to);

void worker_turns(struct turn *turn); /* worker.c */
void owner_turns(struct turn *turn); /* owner.c */
void world_turns(struct turn *turn); /* world.c */
void model_turns(struct turn *turn);
struct state model_start(bool foreign);

/* store_migration_roll_back(): T to garbage, S released. */
void model_roll_back(struct turn *turn, struct state *next);

static inline unsigned export_of(const struct rows *rows, unsigned slot)
{
	return rows->exports >> (3 * slot) & 7;
}

void set_export(struct rows *rows, unsigned slot, enum export_state state);
/* Wanted and open ones to closing. */
void close_exports(struct rows *rows);
bool has_open_export(const struct rows *rows);
/* Not final, and not merely settling: no other may begin. */
bool has_exclusive_operation(const struct rows *rows);
bool is_unfinished(const struct rows *rows);

/* ---- what must hold (invariants.c) ---- */

/* In every state, and in one in which nothing moves any more; NULL: all is well. */
const char *model_broken(const struct state *state);
const char *model_broken_at_rest(const struct state *state);
void model_print(const struct state *state, FILE *out);

/* ---- the search (explore.c) ---- */

struct outcome {
	const char *broken; /* NULL: nothing was found */
	bool at_rest;
	uint32_t states;
	unsigned steps; /* of the shortest way to it */
	bool endless; /* fair steps lead round in a circle: nothing comes to rest */
	uint8_t moves[PHASE_COUNT * PHASE_COUNT];
};

/* Every state reachable within the limits, nearest first, until one is broken. The way
 * to it is written to out, unless that is NULL. When none is, also whether fair steps
 * alone always come to rest. -1: out of memory. */
int explore(const struct limits *limits, FILE *out, struct outcome *outcome);

#endif
