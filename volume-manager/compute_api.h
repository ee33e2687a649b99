/* SPDX-License-Identifier: Apache-2.0 */
/* compute_api.h - who moves a guest from S to T, and proves that it did: Nova (work_nova.c), or
 * drover-compute on the guest's host (work_hypervisor.c). In workers; each look is bounded,
 * and a worker looks once and ends: a copy by Compute may take days.
 */
#ifndef VOLUME_MANAGER_COMPUTE_API_H
#define VOLUME_MANAGER_COMPUTE_API_H

#include "common/hypervisor.h"
#include "common/store/compute.h"
#include "volume-manager/work_job.h"

/* Compute is asked so often at most, when it looks as if it had not heard. */
#define COMPUTE_MAX_ASKS 3

struct guest_mover {
	/* Before anything is made: has it that guest, in a state in which it can? */
	int (*check)(struct job *job, const struct swap *swap, struct error *err);
	/* A look, in the phases swapping and held: 0 it is in another phase, 1 later. */
	int (*swap)(struct job *job, struct swap *swap, struct error *err);
	void (*close)(struct job *job);
};
extern const struct guest_mover compute_nova, compute_hypervisor;

/* ---- work_compute.c: what it can come to ---- */

/* The rows are read again. */
int compute_look(struct job *job, struct swap *swap, struct error *err);
/* Looked at again in so many seconds. Returns 1. */
int compute_later(struct job *job, double seconds, struct error *err);
/* Why it does not go on is noted for people. Returns 1. */
int compute_later_because(
	struct job *job, double seconds, const struct error *why, struct error *err);
/* Nobody can tell where the guest writes to. Returns 1. */
int compute_hold(struct job *job, const char *reason, struct error *err);
/* It was asked, and its yes is written down. Returns 1. */
int compute_accepted(struct job *job, struct error *err);
/* To be called before it is asked: 1 and it may be, 0 it was cancelled and *why says so. */
int compute_may_ask(
	struct job *job, struct swap *swap, struct error *why, struct error *err);
/* What a transaction that ends it comes to when the rows were not as thought: looked at
 * again. */
int compute_ended(struct job *job, int done, struct error *err);

/* work_rate.c: a hypervisor that copies at another rate than is wanted is told so, and
 * *status becomes what it says then. When it does not answer it is told at the next look. */
void compute_follow_rate(struct job *job, const struct swap *swap,
	const struct hypervisor_swap *what, struct swap_status *status);

#endif
