/* SPDX-License-Identifier: Apache-2.0 */
/* An attached volume of a guest without Nova: T is connected to the guest's host, and
 * drover-compute there is asked to let the guest go on with T. It writes down what it is told
 * before it does anything, so what it says is believed, and nothing is concluded from its
 * silence. Before T is dropped it has said that T is not, and never will be, the guest's. */
#include <stdio.h>
#include <string.h>

#include "common/attachment_calls.h"
#include "common/fault.h"
#include "common/hypervisor.h"
#include "common/log.h"
#include "volume-manager/compute_api.h"

#define LONGEST_POLL 5.0

static int open_client(struct job *job, struct error *err)
{
	return job->rpc ? 0
			: rpc_client_open(&job->work->settings->rpc, &job->rpc, err);
}

static void close_hypervisor(struct job *job)
{
	rpc_client_close(job->rpc);
	job->rpc = NULL;
}

/* ---- before anything is made ---- */

/* Its disk is copied while it runs, or while it is paused. */
static int check_state(
	const char *id, const struct instance *instance, struct error *err)
{
	static const char *const states[] = { "running", "idle", "paused" };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (strcmp(instance->state, states[i]) == 0)
			return 0;
	return error_set(err, ERR_COMPUTE,
		"instance '%s' on host '%s' is '%s': volumes of instances that run or are "
		"paused can be moved; start it, or detach the volume",
		id, instance->host, instance->state);
}

static int find(struct job *job, const struct swap *swap, struct instance *out,
	struct error *err)
{
	const char *id = swap->guest.server_id;
	const double seconds = job->work->settings->compute_find_timeout;
	int found = open_client(job, err) < 0
		? -1
		: hypervisor_find(job->rpc, id, seconds, out, err);

	if (found == 0)
		return error_set(
			err, ERR_TIMEOUT, "no host that answers has instance '%s'", id);
	return found < 0 ? -1 : 0;
}

static struct hypervisor_swap swap_of(
	const struct job *job, const struct swap *swap, const char *host)
{
	return (struct hypervisor_swap) { .host = host,
		.instance_id = swap->guest.server_id,
		.volume_id = job->m.op.volume_id,
		.target_id = job->m.temporary_id };
}

static int check_hypervisor(struct job *job, const struct swap *swap, struct error *err)
{
	AUTO(instance_clear) struct instance instance = { .connector = NULL };
	struct hypervisor_swap what;
	struct swap_status status;

	if (find(job, swap, &instance, err) < 0 ||
		check_state(swap->guest.server_id, &instance, err) < 0)
		return -1;
	what = swap_of(job, swap, instance.host);
	if (hypervisor_swap_status(job->rpc, &what, &status, err) < 0)
		return -1;
	if (status.source)
		return 0;
	return error_set(err, ERR_COMPUTE,
		"volume '%s' is attached to instance '%s', and that has no such disk",
		job->m.op.volume_id, swap->guest.server_id);
}

/* ---- the ends ---- */

static struct attachment_call call_of(const struct job *job, const char *attachment_id)
{
	return (struct attachment_call) { .client = job->rpc,
		.db = job->work->db,
		.host = job->m.target,
		.volume_id = job->m.temporary_id,
		.attachment_id = attachment_id };
}

/* A Python service is asked itself. */
static int disconnect_peer(struct job *job, const struct swap *swap, struct error *err)
{
	struct attachment_call call;

	if (!swap->peer || !swap->target_attachment_id[0])
		return 0;
	if (open_client(job, err) < 0)
		return -1;
	call = call_of(job, swap->target_attachment_id);
	return attachment_call_delete(&call, err);
}

/* unused: nobody has T, and nobody will; else its object is kept. */
static int take_back(struct job *job, const struct swap *swap, bool unused,
	const struct error *why, struct error *err)
{
	enum phase to = swap->cancel ? PHASE_CANCELLED : PHASE_FAILED;
	struct work *work = job->work;
	struct error peer;

	log_warning("migration is taken back id=%s volume=%s phase=%s: %s",
		job->m.op.id, job->m.op.volume_id, phase_name(job->m.op.phase),
		why->text);
	if (fault_point("compute.give_up", err) < 0)
		return -1;
	if (disconnect_peer(job, swap, &peer) < 0)
		log_warning("the temporary volume was not disconnected: %s", peer.text);
	return compute_ended(job,
		work_sure(work,
			store_swap_take_back(work->db, &job->m, to, unused, why,
				work->settings->migration_result_keep, err),
			err),
		err);
}

static int switch_over(struct job *job, const char *why, struct error *err)
{
	const struct settings *settings = job->work->settings;
	struct work *work = job->work;

	if (fault_point("compute.moved", err) < 0)
		return -1;
	return compute_ended(job,
		work_sure(work,
			store_swap_moved(work->db, &job->m,
				settings->migration_result_keep, settings->source_keep,
				why, err),
			err),
		err);
}

static double poll_seconds(const struct job *job)
{
	const double seconds = job->work->settings->compute_poll;

	return seconds < LONGEST_POLL ? seconds : LONGEST_POLL;
}

/* ---- what it says ---- */

static int ask(struct job *job, struct swap *swap, struct error *err);

static int cancel(struct job *job, const struct swap *swap, struct swap_status *status,
	struct error *err)
{
	const struct hypervisor_swap what = swap_of(job, swap, swap->hypervisor);

	if (open_client(job, err) < 0 || fault_point("compute.cancelling", err) < 0 ||
		hypervisor_swap_cancel(job->rpc, &what, status, err) < 0)
		return -1;
	return fault_point("compute.cancelled", err);
}

static bool is_over(const struct swap_status *status)
{
	return status->state == SWAP_FAILED || status->state == SWAP_CANCELLED;
}

static int failed(struct job *job, const struct swap *swap,
	const struct swap_status *status, struct error *err)
{
	char text[ERROR_TEXT_SIZE];
	struct error why;

	if (status->target) {
		snprintf(text, sizeof(text),
			"host '%s' says that it is %s, but the guest has the temporary "
			"volume: look there; %.400s",
			swap->hypervisor, swap_state_name(status->state),
			status->reason);
		return compute_hold(job, text, err);
	}
	if (status->state == SWAP_CANCELLED && swap->cancel)
		error_set(&why, ERR_CANCELLED, "the migration was cancelled");
	else
		error_set(&why, ERR_COMPUTE, "%s",
			status->reason[0] ? status->reason
					  : "the hypervisor could not move the guest");
	return take_back(job, swap, !swap->forgotten && !status->pivoted, &why, err);
}

static int moved(struct job *job, const struct swap *swap,
	const struct swap_status *status, struct error *err)
{
	if (swap->source_others > 0)
		return compute_hold(job,
			"the guest runs on the temporary volume, and the volume was "
			"attached to somebody else meanwhile: they differ",
			err);
	if (status->state == SWAP_MOVED && status->source && !status->target)
		return compute_hold(job,
			"the hypervisor says that the guest has moved, but it has its "
			"old disk: look there",
			err);
	return switch_over(job, "the hypervisor says that the guest has moved", err);
}

/* It was asked and knows nothing of it: never heard, or forgotten. */
static int unknown(struct job *job, struct swap *swap, const struct swap_status *seen,
	struct error *err)
{
	struct swap_status status;
	struct error why;

	if (seen->target && !seen->source)
		return switch_over(job, "the guest has the temporary volume", err);
	if (swap->completed && !swap->failed)
		return moved(job, swap, seen, err);
	/* A disk keeps its serial number when it goes over: that it is there proves
	 * nothing. */
	if (swap->accepted)
		return compute_hold(job,
			"the hypervisor has forgotten what it was asked, and which disk "
			"the guest has cannot be told: look there",
			err);
	if (!swap->cancel && seen->source && job->m.op.phase == PHASE_SWAPPING &&
		swap->asks < COMPUTE_MAX_ASKS)
		return ask(job, swap, err);
	if (cancel(job, swap, &status, &why) < 0)
		return compute_later_because(job, poll_seconds(job), &why, err);
	if (!is_over(&status) || status.target ||
		(!status.source && strcmp(status.instance, "gone") != 0))
		return compute_hold(job,
			"the hypervisor has forgotten that it was asked, and which disk "
			"the guest has cannot be told",
			err);
	error_set(&why, ERR_COMPUTE, "the hypervisor did not take it up");
	/* What it has begun may go on without its knowing. */
	return take_back(job, swap, !swap->forgotten, &why, err);
}

static int goes_on(struct job *job, const struct swap *swap, struct error *err)
{
	if (!swap->accepted && compute_accepted(job, err) < 0)
		return -1;
	return compute_later(job, poll_seconds(job), err);
}

static int by_status(struct job *job, struct swap *swap,
	const struct swap_status *status, struct error *err)
{
	struct work *work = job->work;

	if (work_sure(work, store_swap_said(work->db, &job->m, status, err), err) < 0)
		return -1;
	switch (status->state) {
	case SWAP_MOVED:
		return moved(job, swap, status, err);
	case SWAP_FAILED:
	case SWAP_CANCELLED:
		return failed(job, swap, status, err);
	case SWAP_HELD:
		return compute_hold(job,
			status->reason[0] ? status->reason
					  : "the hypervisor cannot tell which disk "
					    "has the newest data",
			err);
	case SWAP_NONE:
		swap->forgotten = swap->forgotten || swap->accepted;
		return unknown(job, swap, status, err);
	default:
		return goes_on(job, swap, err);
	}
}

/* Nothing follows from that, but the word that it has given before by its call: that is noted
 * only when it comes from there. */
static int silent(struct job *job, const struct swap *swap, const struct error *why,
	struct error *err)
{
	const struct settings *settings = job->work->settings;
	char text[ERROR_TEXT_SIZE];

	if (swap->completed && !swap->failed &&
		swap->completed_s > settings->compute_grace)
		return switch_over(
			job, "the hypervisor has said that the guest has moved", err);
	if (job->m.op.phase == PHASE_HELD)
		return compute_later(job, poll_seconds(job), err);
	if (swap->said_s < settings->compute_timeout)
		return compute_later_because(job, poll_seconds(job), why, err);
	snprintf(text, sizeof(text), "host '%s' has said nothing for %.0f s: %.400s",
		swap->hypervisor, settings->compute_timeout, why->text);
	return compute_hold(job, text, err);
}

static bool can_cancel(const struct swap_status *status)
{
	return status->state == SWAP_COPYING || status->state == SWAP_READY ||
		status->state == SWAP_PIVOTING || status->state == SWAP_HELD;
}

/* It is told to cancel only what it knows: what it has forgotten may go on. */
static int look(struct job *job, struct swap *swap, struct error *err)
{
	const struct hypervisor_swap what = swap_of(job, swap, swap->hypervisor);
	struct swap_status status;
	struct error why;
	int done = open_client(job, &why);

	if (done == 0)
		done = hypervisor_swap_status(job->rpc, &what, &status, &why);
	if (done == 0 && swap->cancel && can_cancel(&status))
		done = cancel(job, swap, &status, &why);
	else if (done == 0)
		compute_follow_rate(job, swap, &what, &status);
	if (done == 0)
		return by_status(job, swap, &status, err);
	if (work_stopping(job->work))
		return work_stop_error(err);
	return silent(job, swap, &why, err);
}

/* ---- to connect T ---- */

/* *out: what the hypervisor is told. */
static int connect_target(
	struct job *job, struct swap *swap, struct json_object **out, struct error *err)
{
	AUTO(instance_clear) struct instance instance = { .connector = NULL };
	AUTO(json_object_put) struct json_object *flat = NULL;
	struct work *work = job->work;
	struct attachment_call call;
	char id[UUID_TEXT_SIZE];

	if (find(job, swap, &instance, err) < 0 ||
		check_state(swap->guest.server_id, &instance, err) < 0 ||
		fault_point("compute.reserving", err) < 0 ||
		work_sure(work,
			store_swap_reserve(work->db, &job->m, instance.host, id, err),
			err) < 0)
		return -1;
	if (!swap->asked)
		text_copy(swap->hypervisor, sizeof(swap->hypervisor), instance.host);
	text_copy(swap->target_attachment_id, sizeof(swap->target_attachment_id), id);
	call = call_of(job, id);
	if (fault_point("compute.reserved", err) < 0)
		return -1;
	if (attachment_call_update(&call, instance.connector, &flat, err) < 0)
		return error_context(err, "connect the temporary volume");
	*out = hypervisor_info(flat);
	return 0;
}

/* ---- the question ---- */

/* It says no; an earlier question may have been heard all the same. */
static int refused(
	struct job *job, struct swap *swap, const struct error *why, struct error *err)
{
	struct swap_status status;
	struct error second;

	if (cancel(job, swap, &status, &second) < 0)
		return compute_later_because(job, 1.0, &second, err);
	if (is_over(&status) && !status.target)
		return take_back(
			job, swap, !swap->forgotten && !status.pivoted, why, err);
	return by_status(job, swap, &status, err);
}

/* Such an error says nothing about the guest: the work is begun again. */
static bool is_of_database(const struct error *why)
{
	return why->code == ERR_FENCED || why->code == ERR_DB_UNAVAILABLE ||
		why->code == ERR_DB_UNKNOWN || why->code == ERR_DB_RETRY;
}

/* It was not asked now: at once when there is a reason, else when nobody has come back. */
static int not_yet(
	struct job *job, struct swap *swap, const struct error *why, struct error *err)
{
	const double patience = job->work->settings->peer_timeout;

	if (is_of_database(why) || work_stopping(job->work))
		return *err = *why, -1;
	if (why->code == ERR_CANCELLED)
		swap->cancel = true;
	if (hypervisor_unheard(why) && swap->quiet_s < patience)
		return compute_later_because(job, 1.0, why, err);
	if (swap->asked)
		return refused(job, swap, why, err);
	return take_back(job, swap, true, why, err);
}

static void make_order(const struct job *job, const struct swap *swap,
	struct json_object *info, char answer_to[ADDRESS_SIZE],
	struct hypervisor_order *out)
{
	snprintf(answer_to, ADDRESS_SIZE, "%.*s", (int)strcspn(job->m.source, "#"),
		job->m.source);
	*out = (struct hypervisor_order) {
		.mode = strcmp(swap->guest.mode, "ro") == 0 ? "ro" : "rw",
		.info = info,
		.answer_to = answer_to,
		.rate = rate_wanted(job, swap->rate_limit),
	};
}

static int ask(struct job *job, struct swap *swap, struct error *err)
{
	AUTO(json_object_put) struct json_object *info = NULL;
	struct hypervisor_order order;
	struct hypervisor_swap what;
	char answer_to[ADDRESS_SIZE];
	struct swap_status status;
	struct error why;
	int done;

	if (connect_target(job, swap, &info, &why) < 0)
		return not_yet(job, swap, &why, err);
	done = compute_may_ask(job, swap, &why, err);
	if (done < 0)
		return -1;
	if (done == 0)
		return swap->asked ? look(job, swap, err)
				   : take_back(job, swap, true, &why, err);
	what = swap_of(job, swap, swap->hypervisor);
	make_order(job, swap, info, answer_to, &order);
	done = hypervisor_swap(job->rpc, &what, &order, &status, &why);
	if (fault_point("compute.answered", err) < 0)
		return -1;
	swap->asked = true;
	if (done == 0)
		return by_status(job, swap, &status, err);
	if (!hypervisor_unheard(&why))
		return refused(job, swap, &why, err);
	if (work_stopping(job->work))
		return work_stop_error(err);
	log_warning("the hypervisor's answer did not come id=%s volume=%s: %s",
		job->m.op.id, job->m.op.volume_id, why.text);
	return compute_later_because(job, 1.0, &why, err);
}

static int swap_by_hypervisor(struct job *job, struct swap *swap, struct error *err)
{
	struct error why;

	if (swap->asked)
		return look(job, swap, err);
	if (!swap->cancel)
		return ask(job, swap, err);
	error_set(&why, ERR_CANCELLED, "the migration was cancelled");
	return take_back(job, swap, true, &why, err);
}

const struct guest_mover compute_hypervisor = {
	.check = check_hypervisor,
	.swap = swap_by_hypervisor,
	.close = close_hypervisor,
};
