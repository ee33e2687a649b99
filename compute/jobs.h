/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.h - threads for what blocks, beside the loop.
 *
 * A job is given to the threads in the loop, runs in one of them, and comes back to the
 * loop. It belongs to one side at a time, with all that it owns, so that nothing in it
 * needs a lock.
 */
#ifndef COMPUTE_JOBS_H
#define COMPUTE_JOBS_H

#include "common/auto.h"
#include "common/error.h"

struct loop;
struct jobs;

/* The first member of whatever is to be done. */
struct job {
	void (*run)(struct job *job); /* in a thread */
	void (*done)(struct job *job); /* in the loop; frees it */
	struct job *next;
};

int jobs_new(struct loop *loop, unsigned threads, struct jobs **out, struct error *err);
/* Waits until the jobs that run have ended; those that do not run yet are only done(). */
void jobs_free(struct jobs *jobs);
DEFINE_AUTO(struct jobs *, jobs_free)

/* In the loop. */
void jobs_give(struct jobs *jobs, struct job *job);

#endif
