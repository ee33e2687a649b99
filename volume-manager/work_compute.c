/* SPDX-License-Identifier: Apache-2.0 */
/* An attached volume, whoever moves its guest: what a look at it can come to. */
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "volume-manager/compute_api.h"

bool compute_is_route(const struct job *job)
{
	return strcmp(job->m.route, "compute") == 0;
}

void compute_close(struct job *job)
{
	compute_nova.close(job);
	compute_hypervisor.close(job);
}

/* Who was chosen when it was admitted. */
static const struct guest_mover *mover_of(const struct swap *swap)
{
	return swap->rpc ? &compute_hypervisor : &compute_nova;
}

int compute_look(struct job *job, struct swap *swap, struct error *err)
{
	struct work *work = job->work;
	int found = work_sure(work, store_swap_get(work->db, &job->m, swap, err), err);

	if (found == 0)
		return error_set(err, ERR_INTERNAL,
			"migration '%s' does not say whose guest it is", job->m.op.id);
	return found < 0 ? -1 : 0;
}

int compute_check(struct job *job, struct error *err)
{
	struct swap swap;

	if (compute_look(job, &swap, err) < 0)
		return -1;
	return mover_of(&swap)->check(job, &swap, err);
}

int compute_swap(struct job *job, struct error *err)
{
	struct swap swap;

	if (fault_point("compute.swapping", err) < 0 ||
		compute_look(job, &swap, err) < 0)
		return -1;
	return mover_of(&swap)->swap(job, &swap, err);
}

/* ---- what it can come to ---- */

int compute_later(struct job *job, double seconds, struct error *err)
{
	struct work *work = job->work;

	return work_sure(work, store_swap_later(work->db, &job->m, seconds, err), err) <
			0
		? -1
		: 1;
}

int compute_later_because(
	struct job *job, double seconds, const struct error *why, struct error *err)
{
	if (store_operation_note(job->work->db, &job->m.op, why->text, err) < 0)
		log_debug("%s", err->text);
	return compute_later(job, seconds, err);
}

int compute_hold(struct job *job, const char *reason, struct error *err)
{
	struct work *work = job->work;
	bool is_new = job->m.op.phase != PHASE_HELD;

	if (work_sure(work, store_swap_hold(work->db, &job->m, reason, err), err) < 0)
		return -1;
	if (is_new)
		log_error("migration is held, nothing is touched id=%s volume=%s: %s; "
			  "when you know where the guest is, 'drover resolve' ends it",
			job->m.op.id, job->m.op.volume_id, reason);
	return compute_later(job, job->work->settings->compute_poll, err);
}

int compute_accepted(struct job *job, struct error *err)
{
	struct work *work = job->work;

	if (fault_point("compute.accepted", err) < 0 ||
		work_sure(work, store_swap_accepted(work->db, &job->m, err), err) < 0)
		return -1;
	log_info("Compute moves the guest id=%s volume=%s", job->m.op.id,
		job->m.op.volume_id);
	return compute_later(job, work->settings->compute_poll, err);
}

int compute_may_ask(
	struct job *job, struct swap *swap, struct error *why, struct error *err)
{
	struct work *work = job->work;

	if (fault_point("compute.asking", err) < 0)
		return -1;
	if (work_sure(work, store_swap_ask(work->db, &job->m, err), err) < 0) {
		if (err->code != ERR_CANCELLED && err->code != ERR_INVALID_VOLUME)
			return -1;
		*why = *err;
		swap->cancel = why->code == ERR_CANCELLED;
		return 0;
	}
	swap->asks++;
	/* What was asked must not be forgotten by a database that fails over. */
	if (work_wait_for_standbys(
		    work, &job->m.op, work->settings->standby_timeout, err) < 0 ||
		fault_point("compute.asked", err) < 0)
		return -1;
	return 1;
}

int compute_ended(struct job *job, int done, struct error *err)
{
	if (done == 0)
		return 0;
	return err->code == ERR_INVALID_VOLUME ? compute_later(job, 1.0, err) : -1;
}
