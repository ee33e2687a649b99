/* SPDX-License-Identifier: Apache-2.0 */
/* The source's worker: volume-manager/work_migrate.c, common/store/migration_work.c. */
#include "tests/model/model.h"

static const char *const names[] = { "worker", "old worker" };

struct job {
	struct turn *turn;
	unsigned index;
	const struct worker *me;
	const struct rows *db;
};

static void take(struct job *job, struct state *next, const char *what)
{
	turn_step(job->turn, next, FAIR, names[job->index], what);
}

static struct state copy_at(struct job *job, enum worker_at at)
{
	struct state next = *job->turn->now;

	next.worker[job->index].at = at;
	return next;
}

static void go(struct job *job, enum worker_at at, const char *what)
{
	struct state next = copy_at(job, at);

	take(job, &next, what);
}

static void end(struct state *next, unsigned index)
{
	next->worker[index] = (struct worker) { 0 };
}

static void leave(struct job *job, const char *what)
{
	struct state next = *job->turn->now;

	end(&next, job->index);
	take(job, &next, what);
}

/* store_operation_lock(): the row with the epoch of our claim. */
static bool is_mine(const struct job *job)
{
	return job->db->phase != NO_OPERATION &&
		(!rule(job->turn, RULE_EPOCH) || job->db->epoch == job->me->epoch);
}

/* check_unchanged(), check_source() */
static bool is_unchanged(const struct rows *db, enum migration_status expected)
{
	return db->s_status == expected && !db->s_deleted && !db->s_on_new &&
		db->s_export == EX_NONE;
}

static enum worker_at first_of(const struct state *s, unsigned phase)
{
	if (phase_can_cancel((enum phase)phase) &&
		(s->db.cancel || s->claims > MAX_CLAIMS))
		return AT_TAKE_BACK;
	switch (phase) {
	case PHASE_QUEUED:
		return AT_PREPARE;
	case PHASE_PREPARING:
		return AT_WAIT_T;
	case PHASE_COPYING:
		return AT_CLOSE_OLD;
	case PHASE_SEALING:
		return AT_CLOSE_ALL;
	default:
		return AT_SETTLE;
	}
}

/* work_lock(), then the row is read: work_operation(). */
static void start(struct job *job)
{
	const struct state *s = job->turn->now;
	const struct worker *other = &s->worker[!job->index];

	if (rule(job->turn, RULE_FLOCK) && other->alive && other->at != AT_START &&
		!other->elsewhere && !job->me->elsewhere)
		return;
	if (!is_mine(job) || phase_is_final((enum phase)job->db->phase))
		leave(job, "has the lock and finds the operation taken over");
	else
		go(job, first_of(s, job->db->phase), "has the lock and reads the row");
}

/* store_migration_prepare() */
static void prepare(struct job *job)
{
	struct state next = copy_at(job, AT_WAIT_T);

	if (!is_unchanged(job->db, STATUS_STARTING) || job->db->cancel) {
		go(job, AT_TAKE_BACK,
			"finds the volume changed or the request cancelled");
		return;
	}
	next.db.t = T_CREATING;
	next.db.s_status = STATUS_MIGRATING;
	turn_move(job->turn, &next, PHASE_PREPARING);
	take(job, &next, "commits T's row: queued to preparing");
}

/* store_migration_start_copy() */
static void wait_for_t(struct job *job)
{
	struct state next = copy_at(job, AT_CLOSE_OLD);

	if (job->db->cancel || job->db->s_status != STATUS_MIGRATING ||
		job->db->t == T_ERROR) {
		go(job, AT_TAKE_BACK, "finds a cancel, a reset, or T refused");
	} else if (job->db->t == T_AVAILABLE) {
		turn_move(job->turn, &next, PHASE_COPYING);
		take(job, &next, "commits preparing to copying");
	}
}

/* A new epoch: exports of earlier ones are closed first, by their owner. */
static void close_old(struct job *job)
{
	struct state next = *job->turn->now;

	if (!rule(job->turn, RULE_CLOSE_OLD) || !has_open_export(job->db)) {
		go(job, AT_WANT, "finds no old export open");
		return;
	}
	close_exports(&next.db);
	if (next.db.exports != job->db->exports)
		take(job, &next, "asks for old exports to be closed");
}

static void want(struct job *job)
{
	struct state next = copy_at(job, AT_CONNECT);
	unsigned slot = next.next_slot;

	if (slot == SLOTS) {
		go(job, AT_TAKE_BACK, "gives up: too many exports");
		return;
	}
	set_export(&next.db, slot, EX_WANTED);
	next.next_slot++;
	next.worker[job->index].slot = slot & 3;
	take(job, &next, "commits its export row: wanted");
}

static bool serves(const struct state *s, const struct worker *worker)
{
	return s->servers >> worker->slot & 1;
}

static void connect_export(struct job *job)
{
	struct state next = copy_at(job, AT_WRITE);
	unsigned state = export_of(job->db, job->me->slot);

	if (state == EX_OPEN && serves(&next, job->me)) {
		next.worker[job->index].connected = 1;
		next.worker[job->index].block = job->db->checkpoint & 3;
		if (job->db->checkpoint == BLOCKS)
			next.worker[job->index].at = AT_SEAL;
		take(job, &next, "connects to its export, goes on from the checkpoint");
	} else if (state != EX_WANTED && state != EX_OPEN) {
		leave(job, "finds its export closed and ends");
	}
}

/* ---- copying: no row is looked at until the checkpoint ---- */

static unsigned source_block(const struct state *s, unsigned block)
{
	return block == 0 ? s->old_content : FIRST;
}

static void write_block(struct job *job)
{
	struct state next = copy_at(job, AT_VERIFY), bad;
	unsigned content = source_block(&next, job->me->block);

	if (job->me->block == 0)
		next.seen_0 = content & 7;
	else
		next.seen_1 = content & 7;
	bad = next;
	take(job, &next, "writes a block through its export");
	if (job->me->block == 0)
		bad.seen_0 = BAD;
	else
		bad.seen_1 = BAD;
	turn_misfortune(job->turn, &bad, BAD_WRITE, names[job->index],
		"writes a block and it arrives wrong");
}

/* The target flushes, reads back from its disk and answers with digests. */
static void verify(struct job *job)
{
	struct state next = copy_at(job, AT_CHECKPOINT);
	unsigned found = job->me->block == 0 ? next.seen_0 : next.seen_1;

	if (rule(job->turn, RULE_FLUSH)) {
		next.stable_0 = next.seen_0;
		next.stable_1 = next.seen_1;
	}
	if (!rule(job->turn, RULE_READ_BACK) ||
		found == source_block(&next, job->me->block)) {
		take(job, &next, "flushes and reads back what it wrote");
		return;
	}
	next.worker[job->index].at = AT_WRITE;
	take(job, &next, "flushes and reads back something else: again");
}

static void through_export(struct job *job)
{
	if (!serves(job->turn->now, job->me)) {
		leave(job, "loses its connection and ends");
		return;
	}
	if (job->me->at == AT_WRITE)
		write_block(job);
	else
		verify(job);
	if (!rule(job->turn, RULE_COMPLETE) && job->me->at == AT_WRITE)
		go(job, AT_SEAL, "takes the copy for complete");
}

/* store_migration_checkpoint() */
static void checkpoint(struct job *job)
{
	struct state next = copy_at(job, AT_WRITE);
	struct worker *me = &next.worker[job->index];

	if (job->db->cancel || job->db->s_status != STATUS_MIGRATING) {
		go(job, AT_TAKE_BACK, "finds a cancel or a reset");
		return;
	}
	me->block++;
	next.db.checkpoint = me->block;
	if (me->block == BLOCKS)
		me->at = AT_SEAL;
	take(job, &next, "commits the checkpoint");
}

/* store_migration_seal() */
static void seal(struct job *job)
{
	struct state next = copy_at(job, AT_CLOSE_ALL);

	if (job->db->cancel || job->db->s_status != STATUS_MIGRATING) {
		go(job, AT_TAKE_BACK, "finds a cancel or a reset");
		return;
	}
	if (rule(job->turn, RULE_COMPLETE) && job->db->checkpoint != BLOCKS) {
		leave(job, "finds the checkpoint short and ends");
		return;
	}
	next.db.s_status = STATUS_COMPLETING;
	turn_move(job->turn, &next, PHASE_SEALING);
	take(job, &next, "commits copying to sealing");
}

/* store_migration_exports_closed() */
static void close_all(struct job *job)
{
	struct state next = *job->turn->now;

	if (job->db->cancel || job->db->s_status != STATUS_COMPLETING) {
		go(job, AT_TAKE_BACK, "finds a cancel or a reset");
		return;
	}
	if (!rule(job->turn, RULE_NO_OPEN_EXPORT) || !has_open_export(job->db)) {
		go(job, AT_SWITCH, "finds every export closed");
		return;
	}
	close_exports(&next.db);
	if (next.db.exports != job->db->exports)
		take(job, &next, "asks for all exports to be closed");
}

static bool may_switch(const struct job *job)
{
	const struct turn *turn = job->turn;
	const struct rows *db = job->db;

	if (rule(turn, RULE_NOT_CANCELLED) && db->cancel)
		return false;
	if (rule(turn, RULE_COMPLETE) && db->checkpoint != BLOCKS)
		return false;
	if (rule(turn, RULE_NO_OPEN_EXPORT) && has_open_export(db))
		return false;
	if (db->t != T_AVAILABLE)
		return false;
	return !rule(turn, RULE_UNCHANGED) || is_unchanged(db, STATUS_COMPLETING);
}

/* store_migration_switch() */
static void make_switch(struct job *job)
{
	struct state next = copy_at(job, AT_SETTLE);

	if (!may_switch(job)) {
		go(job, AT_TAKE_BACK, "is refused the switch");
		return;
	}
	if (next.db.cancel)
		next.wrong = WRONG_CANCELLED;
	else if (next.db.s_status != STATUS_COMPLETING)
		next.wrong = WRONG_RESET;
	next.db.s_on_new = 1;
	next.db.s_status = STATUS_NONE;
	next.db.t = T_DELETED;
	next.db.old_garbage = G_WAITING;
	turn_move(job->turn, &next, PHASE_SETTLING);
	take(job, &next, "commits the switch");
	next.worker[job->index].at = AT_TAKE_BACK;
	turn_misfortune(job->turn, &next, UNKNOWN_COMMIT, names[job->index],
		"commits the switch, its connection breaks and it takes that for no");
}

/* store_migration_done() */
static void settle(struct job *job)
{
	struct state next = *job->turn->now;

	end(&next, job->index);
	turn_move(job->turn, &next, PHASE_DONE);
	take(job, &next, "commits settling to done and ends");
}

static void take_back(struct job *job)
{
	struct state next = *job->turn->now;

	if (!is_mine(job) || phase_is_final((enum phase)job->db->phase)) {
		leave(job, "finds the operation taken over");
		return;
	}
	if (rule(job->turn, RULE_ROW_LOCK) &&
		!phase_can_cancel((enum phase)job->db->phase)) {
		go(job, AT_SETTLE, "reads under the lock that the switch was made");
		return;
	}
	end(&next, job->index);
	model_roll_back(job->turn, &next);
	take(job, &next, "commits the way back and ends");
}

/* What each place demands of the row's phase, and what is done there. */
static const struct {
	void (*run)(struct job *job);
	bool looks; /* its transaction compares epoch and phase */
	enum phase phase;
} places[] = {
	[AT_START] = { start, false, 0 },
	[AT_PREPARE] = { prepare, true, PHASE_QUEUED },
	[AT_WAIT_T] = { wait_for_t, true, PHASE_PREPARING },
	[AT_CLOSE_OLD] = { close_old, true, PHASE_COPYING },
	[AT_WANT] = { want, true, PHASE_COPYING },
	[AT_CONNECT] = { connect_export, true, PHASE_COPYING },
	[AT_WRITE] = { through_export, false, 0 },
	[AT_VERIFY] = { through_export, false, 0 },
	[AT_CHECKPOINT] = { checkpoint, true, PHASE_COPYING },
	[AT_SEAL] = { seal, true, PHASE_COPYING },
	[AT_CLOSE_ALL] = { close_all, true, PHASE_SEALING },
	[AT_SWITCH] = { make_switch, true, PHASE_SEALING },
	[AT_SETTLE] = { settle, true, PHASE_SETTLING },
	[AT_TAKE_BACK] = { take_back, false, 0 },
};

/* The target does not answer and the deadline is over. */
static bool waits_for_target(unsigned at)
{
	return at == AT_WAIT_T || at == AT_CLOSE_OLD || at == AT_CONNECT ||
		at == AT_CLOSE_ALL;
}

static void worker_turn(struct turn *turn, unsigned index)
{
	const struct state *s = turn->now;
	const struct worker *me = &s->worker[index];
	struct job job = { turn, index, me, &s->db };

	if (!me->alive)
		return;
	if (places[me->at].looks &&
		(!is_mine(&job) || s->db.phase != places[me->at].phase)) {
		leave(&job, "finds no row of its epoch and phase, and ends");
		return;
	}
	if (waits_for_target(me->at) && s->b != HOST_UP)
		go(&job, AT_TAKE_BACK, "gives up waiting for host B");
	places[me->at].run(&job);
}

/* store_operation_claim() and the start of a drover-worker: scan.c. */
static void claim(struct turn *turn)
{
	struct state next = *turn->now;

	if (next.a_dead || next.worker[0].alive || !is_unfinished(&next.db))
		return;
	next.claims += next.claims < 7;
	next.db.epoch =
		(rule(turn, RULE_FRESH_EPOCH) ? next.claims : next.db.epoch + 1) & 7;
	next.worker[0].alive = 1;
	next.worker[0].epoch = next.db.epoch;
	turn_step(turn, &next, FAIR, "manager A",
		"claims the operation, starts a worker");
}

void worker_turns(struct turn *turn)
{
	claim(turn);
	worker_turn(turn, 0);
	worker_turn(turn, 1);
}
