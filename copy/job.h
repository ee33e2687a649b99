/* SPDX-License-Identifier: Apache-2.0 */
/* job.h - one run of drover-copy: looks, goes on from a checkpoint or begins, clones or
 * copies, connects again to a server that was lost. */
#ifndef COPY_JOB_H
#define COPY_JOB_H

#include <stdatomic.h>

#include "copy/bar.h"
#include "copy/checkpoint_file.h"
#include "copy/command.h"
#include "copy/copy.h"
#include "copy/ends.h"
#include "copy/events.h"

struct job {
	/* Given. */
	const struct command *command;
	struct copy_control *control;
	struct bar *bar;
	struct events *events;
	atomic_bool looking; /* nothing was changed so far: it may end at any time */

	/* What came of it. */
	struct ends ends;
	struct copy_progress progress; /* of all runs; never goes back */
	struct copy_result result; /* of the last run, when there was one */
	bool begun; /* bytes may have been written */
	bool cloned;
	bool source_changed;
	bool resumed; /* begun by an earlier command, up to resumed_from */
	uint64_t resumed_from;
	unsigned losses; /* of a connection */
	double started, seconds;

	/* Where to go on. */
	struct checkpoint_file *file; /* NULL: none */
	struct checkpoint checkpoint;
	uint64_t copied_before, skipped_before; /* by the runs that were lost */
	double lost_since; /* the first loss since the last checkpoint; 0: none */
	double nap_s; /* before the next try */
	bool silent; /* lost, and not known to go on */
};

void job_init(struct job *job, const struct command *command,
	struct copy_control *control, struct bar *bar, struct events *events);
void job_clear(struct job *job);
int job_run(struct job *job, struct error *err);
/* Does the same command go on from a checkpoint, after it failed? */
bool job_can_go_on(const struct job *job);

#endif
