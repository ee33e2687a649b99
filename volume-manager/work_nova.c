/* SPDX-License-Identifier: Apache-2.0 */
/* An attached volume: Nova is asked to copy it and to let its guest go on with T, and says
 * when that is done by migrate_volume_completion (methods_compute.c). Meanwhile this looks
 * now and then at what the guest is attached to. */
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "volume-manager/compute_api.h"
#include "volume-manager/nova.h"

/* An answer that did not come: so long it may still do what it was asked. */
#define SETTLE_SECONDS 30.0

static void close_nova(struct job *job)
{
	nova_close(job->nova);
	job->nova = NULL;
}

static bool is_stopping(void *arg)
{
	return work_stopping(arg);
}

static int open_nova(struct job *job, struct error *err)
{
	const struct settings *settings = job->work->settings;

	if (job->nova)
		return 0;
	if (settings->compute_api != COMPUTE_NOVA)
		return error_set(err, ERR_CONFIG,
			"volume '%s' is attached, and compute_api is not 'nova'",
			job->m.op.volume_id);
	return nova_open(&settings->nova, job->m.op.request_id, is_stopping, job->work,
		&job->nova, err);
}

/* ---- before anything is made ---- */

/* Compute copies for guests that run, and for paused and resized ones. */
static int check_state(
	const char *id, const struct nova_server *server, struct error *err)
{
	static const char *const states[] = { "active", "paused", "resized", NULL };
	static const char *const statuses[] = { "ACTIVE", "PAUSED", "VERIFY_RESIZE",
		"REBOOT", "HARD_REBOOT", NULL };
	const char *state = server->vm_state[0] ? server->vm_state : server->status;
	const char *const *list = server->vm_state[0] ? states : statuses;

	for (; *list; list++)
		if (strcmp(*list, state) == 0)
			return 0;
	return error_set(err, ERR_COMPUTE,
		"server '%s' is '%s': Compute can move the volumes of servers that are "
		"active, paused or resized; start it, or detach the volume",
		id, state);
}

static int check_nova(struct job *job, const struct swap *swap, struct error *err)
{
	bool source = false, target = false;
	struct nova_server server;
	int found;

	if (open_nova(job, err) < 0)
		return -1;
	found = nova_server(job->nova, swap->guest.server_id, &server, err);
	if (found > 0 && check_state(swap->guest.server_id, &server, err) < 0)
		return -1;
	if (found > 0)
		found = nova_attached(job->nova, swap->guest.server_id,
			job->m.op.volume_id, job->m.temporary_id, &source, &target,
			err);
	if (found < 0)
		return -1;
	if (!found || !source)
		return error_set(err, ERR_COMPUTE,
			"volume '%s' is attached to server '%s', %s",
			job->m.op.volume_id, swap->guest.server_id,
			found ? "and Compute does not know that"
			      : "which Compute does not know");
	return 0;
}

/* ---- what it can come to ---- */

/* Nobody uses T. When a guest may have done so once, its object is kept. */
static int give_up(struct job *job, const struct swap *swap, bool server_gone,
	const struct error *why, struct error *err)
{
	struct work *work = job->work;
	enum phase to = swap->cancel ? PHASE_CANCELLED : PHASE_FAILED;

	log_warning("migration is taken back id=%s volume=%s phase=%s: %s",
		job->m.op.id, job->m.op.volume_id, phase_name(job->m.op.phase),
		why->text);
	if (fault_point("compute.give_up", err) < 0)
		return -1;
	return compute_ended(job,
		work_sure(work,
			store_swap_give_up(work->db, &job->m, to, server_gone, why,
				work->settings->migration_result_keep, err),
			err),
		err);
}

static int switch_over(struct job *job, struct error *err)
{
	const struct settings *settings = job->work->settings;
	struct work *work = job->work;

	log_warning("Compute has not said so, but the guest runs on the temporary "
		    "volume id=%s volume=%s",
		job->m.op.id, job->m.op.volume_id);
	return compute_ended(job,
		work_sure(work,
			store_swap_switch(work->db, &job->m,
				settings->migration_result_keep, settings->source_keep,
				err),
			err),
		err);
}

/* ---- looking ---- */

struct view {
	bool known; /* Compute has answered */
	bool server; /* it exists */
	bool source, target; /* it has that volume */
	struct error why; /* not known */
};

static void look(struct job *job, const struct swap *swap, struct view *view)
{
	struct error err;
	int found = open_nova(job, &err);

	memset(view, 0, sizeof(*view));
	if (found == 0)
		found = nova_attached(job->nova, swap->guest.server_id,
			job->m.op.volume_id, job->m.temporary_id, &view->source,
			&view->target, &err);
	view->known = found >= 0;
	view->server = found > 0;
	if (found < 0)
		view->why = err;
}

/* ---- the question ---- */

/* What was asked for may have been done in spite of the answer: of an earlier question. */
static int refused(
	struct job *job, struct swap *swap, const struct error *why, struct error *err)
{
	if (compute_look(job, swap, err) < 0)
		return -1;
	if (swap->touched && swap->live > 0)
		return compute_accepted(job, err);
	return give_up(job, swap, false, why, err);
}

static int ask(struct job *job, struct swap *swap, struct error *err)
{
	struct work *work = job->work;
	enum nova_answer answer;
	struct error why;

	int may;

	if (open_nova(job, err) < 0)
		return -1;
	may = compute_may_ask(job, swap, &why, err);
	if (may <= 0)
		return may < 0 ? -1 : give_up(job, swap, false, &why, err);
	answer = nova_swap(job->nova, swap->guest.server_id, job->m.op.volume_id,
		job->m.temporary_id, &why);
	if (fault_point("compute.answered", err) < 0)
		return -1;
	if (answer == NOVA_ACCEPTED)
		return compute_accepted(job, err);
	if (answer == NOVA_REFUSED)
		return refused(job, swap, &why, err);
	if (work_stopping(work))
		return work_stop_error(err);
	log_warning("Compute's answer did not come id=%s volume=%s asked=%lld: %s",
		job->m.op.id, job->m.op.volume_id, (long long)swap->asks, why.text);
	if (work_sure(work, store_swap_unanswered(work->db, &job->m, err), err) < 0)
		return -1;
	return compute_later_because(job, 1.0, &why, err);
}

/* It was asked, and whether it has heard that is not known. */
static int ask_again(struct job *job, struct swap *swap, struct error *err)
{
	const double grace = job->work->settings->compute_grace;
	const double settle = grace < SETTLE_SECONDS ? grace : SETTLE_SECONDS;
	struct error why;
	struct view view;

	if (swap->asked_s < settle)
		return compute_later(job, settle - swap->asked_s + 0.1, err);
	look(job, swap, &view);
	if (view.target)
		return compute_accepted(job, err);
	if (swap->asks < COMPUTE_MAX_ASKS && !swap->cancel)
		return ask(job, swap, err);
	error_set(&why, ERR_COMPUTE, "Compute was asked %lld times: %s",
		(long long)swap->asks,
		job->m.op.reason[0] ? job->m.op.reason : "no answer came");
	return give_up(job, swap, false, &why, err);
}

/* ---- watching ---- */

/* It is over, without success. Is T provably unused? */
static int failed(struct job *job, const struct swap *swap, const struct view *view,
	const char *text, struct error *err)
{
	struct error why;

	error_set(&why, ERR_COMPUTE, "%s", text);
	if (!view->known)
		return compute_hold(job, view->why.text, err);
	if (swap->live > 0 || view->target)
		return compute_hold(job,
			"Compute says that it failed, but the temporary volume is "
			"attached: look there, and at the guest's disk",
			err);
	/* The guest has written to T, and is gone or has left it: T has the data. */
	if (swap->was_attached)
		return compute_hold(job,
			"the guest has used the temporary volume, and is not attached "
			"to it any more: it may have the newer data",
			err);
	/* Without a server nobody copies; with one, its disk may be T in spite of all. */
	if (swap->connected && view->server && swap->peer)
		return compute_hold(job,
			"Compute says that it failed, but the guest may have used the "
			"temporary volume",
			err);
	return give_up(job, swap, !view->server, &why, err);
}

/* The answer of Compute may be on its way. */
static bool is_quiet(const struct job *job, const struct swap *swap)
{
	return swap->quiet_s > job->work->settings->compute_grace;
}

static int wait_on(struct job *job, const struct swap *swap, const struct view *view,
	struct error *err)
{
	const struct settings *settings = job->work->settings;
	char text[ERROR_TEXT_SIZE];

	/* As long as Compute counts T as the guest's, it copies: that may take days. */
	if ((view->known && view->server && view->target) ||
		swap->accepted_s < settings->compute_timeout ||
		swap->quiet_s < settings->compute_timeout)
		return compute_later(job, settings->compute_poll, err);
	snprintf(text, sizeof(text),
		"Compute has said nothing for %.0f s%s%.400s: is server '%s' still "
		"copying?",
		settings->compute_timeout, view->known ? "" : "; ",
		view->known ? "" : view->why.text, swap->guest.server_id);
	return compute_hold(job, text, err);
}

static int watch(struct job *job, const struct swap *swap, struct error *err)
{
	struct view view;

	look(job, swap, &view);
	if (swap->attached && !swap->source_attached && swap->source_others > 0)
		return compute_hold(job,
			"the guest runs on the temporary volume, and the volume was "
			"attached to somebody else meanwhile: they differ",
			err);
	/* Of two orders one may have failed. */
	if (swap->attached && !swap->source_attached && is_quiet(job, swap))
		return switch_over(job, err);
	if (swap->failed) {
		/* Compute may be away just now. */
		if (!view.known &&
			swap->completed_s < job->work->settings->compute_grace)
			return compute_later(job, 2.0, err);
		return failed(job, swap, &view,
			"Compute says that it could not move the guest", err);
	}
	if (!view.known || !is_quiet(job, swap))
		return wait_on(job, swap, &view, err);
	if (!view.server && swap->live == 0)
		return failed(job, swap, &view,
			"the server is gone while it was copied", err);
	/* It began, it is over, and its answer was lost. */
	if (swap->live == 0 && view.server)
		return failed(job, swap, &view,
			"Compute has given up without saying why", err);
	return wait_on(job, swap, &view, err);
}

static int swap_by_nova(struct job *job, struct swap *swap, struct error *err)
{
	struct error why;

	if (swap->failed)
		return watch(job, swap, err);
	if (!swap->asked && !swap->touched && swap->cancel) {
		error_set(&why, ERR_CANCELLED, "the migration was cancelled");
		return give_up(job, swap, false, &why, err);
	}
	if (!swap->accepted && swap->touched)
		return compute_accepted(job, err);
	if (!swap->asked)
		return ask(job, swap, err);
	if (!swap->accepted)
		return ask_again(job, swap, err);
	return watch(job, swap, err);
}

const struct guest_mover compute_nova = {
	.check = check_nova,
	.swap = swap_by_nova,
	.close = close_nova,
};
