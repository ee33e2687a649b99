/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a migration may go: what its row says, or else its source's backend. The row is
 * read with each report of progress, so that a copy follows it while it runs, paused or not;
 * while the database is away what it said last counts. */
#include "common/log.h"
#include "volume-manager/compute_api.h"

/* Between two looks at the row of a migration that is paused. */
#define PAUSE_NAP_MS 500

int64_t rate_wanted(const struct job *job, int64_t limit)
{
	const struct backend_settings *settings;
	struct error ignored;

	if (limit >= 0)
		return limit;
	if (work_backend_settings(job->work, job->m.source, &settings, &ignored) < 0)
		return 0;
	return backend_copy_limit(settings);
}

void rate_follow(struct job *job)
{
	const bool paused = job->m.paused;

	atomic_store(&job->control.rate_limit,
		(uint64_t)rate_wanted(job, job->m.rate_limit));
	if (atomic_exchange(&job->control.paused, paused) != paused)
		log_info("migration %s id=%s volume=%s", paused ? "paused" : "goes on",
			job->m.op.id, job->m.op.volume_id);
}

/* Outside of the copy, which waits by itself. */
int rate_wait(struct job *job, struct error *err)
{
	struct work *work = job->work;

	job->m.rate = 0;
	for (;;) {
		if (work_sure(work, store_migration_progress(work->db, &job->m, err),
			    err) < 0)
			return -1;
		rate_follow(job);
		if (!job->m.paused)
			return 0;
		if (work_stopping(work))
			return work_stop_error(err);
		work_nap_ms(PAUSE_NAP_MS);
	}
}

void compute_follow_rate(struct job *job, const struct swap *swap,
	const struct hypervisor_swap *what, struct swap_status *status)
{
	const int64_t wanted = rate_wanted(job, swap->rate_limit);
	struct swap_status answer;
	struct error why;

	if (status->state != SWAP_COPYING || status->rate < 0 || status->rate == wanted)
		return;
	if (hypervisor_swap_rate(job->rpc, what, wanted, &answer, &why) < 0) {
		log_warning(
			"the rate of a guest's copy was not changed id=%s volume=%s:"
			" %s",
			job->m.op.id, job->m.op.volume_id, why.text);
		return;
	}
	log_info("the rate of a guest's copy is changed id=%s volume=%s rate=%lld",
		job->m.op.id, job->m.op.volume_id, (long long)answer.rate);
	*status = answer;
}
