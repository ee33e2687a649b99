/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/job.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/text.h"

#define FIRST_NAP 0.1
#define LONGEST_NAP 2.0
#define SETTLE_SECONDS 1.0

void job_init(struct job *job, const struct command *command,
	struct copy_control *control, struct bar *bar, struct events *events)
{
	memset(job, 0, sizeof(*job));
	job->command = command;
	job->control = control;
	job->bar = bar;
	job->events = events;
	job->nap_s = FIRST_NAP;
	job->started = clock_seconds();
	atomic_store(&control->rate_limit, command->rate_limit);
}

void job_clear(struct job *job)
{
	if (job->file)
		checkpoint_file_close(steal(job->file));
}

static int check_cancelled(const struct job *job, struct error *err)
{
	if (!atomic_load(&job->control->cancelled))
		return 0;
	return error_set(err, ERR_CANCELLED, "cancelled");
}

/* ---- called by the engine ---- */

/* It took a while to be sure: a server that was lost answers again. */
static void tell_of_return(struct job *job)
{
	if (!job->silent)
		return;
	job->silent = false;
	bar_message(job->bar, "connected again, going on from offset %" PRIu64,
		job->checkpoint.offset);
}

static void add_progress(struct job *job, const struct copy_progress *run)
{
	struct copy_progress *all = &job->progress;

	all->total = run->total;
	all->position = run->position > all->position ? run->position : all->position;
	all->verified = run->verified > all->verified ? run->verified : all->verified;
	all->copied = job->copied_before + run->copied;
	all->skipped = job->skipped_before + run->skipped;
	all->rate = run->rate;
}

static int on_progress(
	void *arg, const struct copy_progress *progress, struct error *err)
{
	struct job *job = arg;

	if (check_cancelled(job, err) < 0)
		return -1;
	add_progress(job, progress);
	if (progress->position > job->checkpoint.offset)
		tell_of_return(job);
	bar_show(job->bar, &job->progress);
	events_progress(job->events, &job->progress);
	return 0;
}

static int on_checkpoint(
	void *arg, uint64_t offset, const char *chain, struct error *err)
{
	struct job *job = arg;

	tell_of_return(job);
	job->checkpoint.offset = offset;
	/* The last report may be older. */
	if (job->progress.position < offset)
		job->progress.position = offset;
	if (job->progress.verified < offset)
		job->progress.verified = offset;
	text_copy(job->checkpoint.chain, sizeof(job->checkpoint.chain),
		chain ? chain : "");
	job->lost_since = 0;
	job->nap_s = FIRST_NAP;
	if (!job->file)
		return 0;
	return checkpoint_file_write(job->file, &job->checkpoint, err);
}

/* ---- one run, and again ---- */

static struct copy_options options_of(struct job *job)
{
	const struct command *command = job->command;
	struct copy_options options = {
		.size = job->ends.source_facts.size,
		.start = job->checkpoint.offset,
		.checkpoint_bytes = command->checkpoint_bytes,
		.checkpoint_seconds = command->checkpoint_seconds,
		.rate_limit = atomic_load(&job->control->rate_limit),
		.control = job->control,
		.verify = command->verify,
		.on_progress = on_progress,
		.arg = job,
		.deadline_s = command->deadline_s,
	};

	if (job->file || ends_have_server(&job->ends))
		options.on_checkpoint = on_checkpoint;
	text_copy(options.chain_start, sizeof(options.chain_start),
		job->checkpoint.chain);
	return options;
}

/* Only the first run meets a target that nobody has written to. */
static int run_once(struct job *job, struct error *err)
{
	struct copy_options options = options_of(job);
	struct endpoint target = job->command->target;
	bool first = !job->resumed && job->losses == 0;
	bool is_file = job->ends.target_facts.kind == ENDPOINT_FILE;

	if (first && job->command->target_is_zero && !is_file)
		target.zero_when_new = options.target_is_new = true;
	if (first && job->ends.target_made)
		options.target_is_new = true;
	return copy_run(&job->command->source, &target, &options, &job->result, err);
}

static bool is_loss(const struct job *job, const struct error *err)
{
	if (!ends_have_server(&job->ends) || job->command->retry_s <= 0)
		return false;
	/* A unix socket that is not there yet. */
	if (job->losses > 0 && err->errnum == ENOENT)
		return true;
	return err->code == ERR_LOST || err->code == ERR_TIMEOUT;
}

/* For so long, unless it is cancelled. */
static int nap(const struct job *job, double seconds, struct error *err)
{
	const struct timespec piece = { .tv_nsec = 50000000 };
	double until = clock_seconds() + seconds;

	while (clock_seconds() < until) {
		if (check_cancelled(job, err) < 0)
			return -1;
		nanosleep(&piece, NULL);
	}
	return 0;
}

/* A connection was lost: is another try wanted? 0 then. Told once, not at each try. */
static int await_server(struct job *job, struct error *err)
{
	double now = clock_seconds();
	double patience = job->command->retry_s;

	if (job->lost_since <= 0)
		job->lost_since = now;
	if (now - job->lost_since + job->nap_s > patience)
		return error_context(
			err, "gave up after %.0f s", now - job->lost_since);
	if (!job->silent)
		bar_message(job->bar, "%s; connecting again", err->text);
	job->silent = true;
	job->losses++;
	job->copied_before = job->progress.copied;
	job->skipped_before = job->progress.skipped;
	if (nap(job, job->nap_s, err) < 0)
		return -1;
	job->nap_s = 2 * job->nap_s < LONGEST_NAP ? 2 * job->nap_s : LONGEST_NAP;
	return 0;
}

/* We have just looked at the server: one that takes a single client may not have seen yet
 * that we left, and refuses us. That is no loss. */
static bool is_unsettled(const struct job *job, const struct error *err)
{
	return err->code == ERR_LOST && job->losses == 0 &&
		job->progress.position == job->resumed_from &&
		clock_seconds() - job->started < SETTLE_SECONDS;
}

static int copy_bytes(struct job *job, struct error *err)
{
	while (run_once(job, err) < 0) {
		if (is_unsettled(job, err)) {
			if (nap(job, FIRST_NAP, err) < 0)
				return -1;
		} else if (!is_loss(job, err) || await_server(job, err) < 0)
			return -1;
	}
	tell_of_return(job);
	return 0;
}

/* 1: the target shares the source's blocks now, and nothing is to be copied. */
static int try_clone(struct job *job, struct error *err)
{
	const struct command *command = job->command;
	struct copy_options options = options_of(job);
	int cloned;

	if (command->no_clone || job->resumed || ends_cannot_tell(&job->ends))
		return 0;
	cloned = copy_clone(&command->source, &command->target, options.size, err);
	if (cloned <= 0)
		return cloned;
	job->cloned = true;
	if (command->verify == COPY_VERIFY_READBACK &&
		copy_verify_clone(&command->source, &command->target, &options,
			&job->result, err) < 0)
		return -1;
	return 1;
}

/* ---- the checkpoint file ---- */

static void note_end(struct checkpoint_end *out, const struct endpoint *end,
	const struct endpoint_facts *facts)
{
	text_copy(out->name, sizeof(out->name), endpoint_name(end));
	out->facts = *facts;
	out->facts.allocated = 0;
}

/* What is copied, as it is now. */
static void note_ends(struct checkpoint *out, const struct job *job)
{
	const struct ends *ends = &job->ends;

	note_end(&out->source, ends->source, &ends->source_facts);
	note_end(&out->target, ends->target, &ends->target_facts);
	out->verify = job->command->verify;
}

static int check_found(
	const struct job *job, const struct checkpoint *found, struct error *err)
{
	const struct command *command = job->command;

	if (!job->ends.target_exists)
		return error_set(err, ERR_INVALID_INPUT,
			"target '%s' does not exist any more: remove the checkpoint file "
			"to begin anew",
			endpoint_name(&command->target));
	if (checkpoint_check(found, &job->checkpoint, err) < 0)
		return -1;
	if (ends_cannot_tell(&job->ends) && !command->resume)
		return error_set(err, ERR_INVALID_INPUT,
			"a device or server cannot tell whether it was written to since: "
			"--resume goes on at offset %" PRIu64
			", or remove the checkpoint file to begin anew",
			found->offset);
	return 0;
}

/* Go on from it, when there is one. */
static int open_checkpoint(struct job *job, struct error *err)
{
	const char *path = job->command->checkpoint;
	AUTO(free) struct checkpoint *found = calloc(1, sizeof(*found));
	bool exists;

	if (!found)
		return error_no_memory(err);
	if (checkpoint_file_open(path, &job->file, &exists, found, err) < 0)
		return -1;
	if (!exists)
		return 0;
	note_ends(&job->checkpoint, job);
	if (check_found(job, found, err) < 0)
		return error_context(err, "checkpoint '%s'", path);
	job->checkpoint = *found;
	job->resumed = true;
	job->resumed_from = found->offset;
	job->progress.position = job->progress.verified = found->offset;
	return 0;
}

/* The target is made and its checkpoint is there before the first byte. */
static int begin(struct job *job, struct error *err)
{
	if (job->resumed)
		return 0;
	if (ends_fit_target(&job->ends, err) < 0)
		return -1;
	note_ends(&job->checkpoint, job);
	if (!job->file || checkpoint_file_write(job->file, &job->checkpoint, err) == 0)
		return 0;
	ends_undo(&job->ends);
	return -1;
}

bool job_can_go_on(const struct job *job)
{
	return job->file && job->begun && !job->cloned && !job->source_changed;
}

/* ---- all of it ---- */

static int look(struct job *job, struct error *err)
{
	const struct command *command = job->command;
	int failed;

	atomic_store(&job->looking, true);
	failed = check_cancelled(job, err) < 0 ||
		ends_look(&job->ends, &command->source, &command->target,
			command->deadline_s, err) < 0;
	atomic_store(&job->looking, false);
	job->progress.total = job->ends.source_facts.size;
	return failed ? -1 : 0;
}

static int move_bytes(struct job *job, struct error *err)
{
	int cloned;

	job->begun = true;
	cloned = try_clone(job, err);
	if (cloned < 0 || (!cloned && copy_bytes(job, err) < 0))
		return -1;
	if (ends_check_source(&job->ends, err) < 0) {
		job->source_changed = true;
		return -1;
	}
	return 0;
}

int job_run(struct job *job, struct error *err)
{
	int failed;

	if (look(job, err) < 0 ||
		(job->command->checkpoint && open_checkpoint(job, err) < 0) ||
		check_cancelled(job, err) < 0 || begin(job, err) < 0)
		return -1;
	failed = move_bytes(job, err);
	job->seconds = clock_seconds() - job->started;
	if (failed || (job->file && checkpoint_file_remove(job->file, err) < 0))
		return -1;
	return 0;
}
