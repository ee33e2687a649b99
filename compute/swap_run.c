/* SPDX-License-Identifier: Apache-2.0 */
/* What is done for a swap. Each function is one step: it looks at what libvirt shows and
 * either goes on to another step, which is written down first, or waits. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/fault.h"
#include "common/log.h"
#include "compute/domain.h"
#include "compute/swap.h"

#define MOST_PIVOTS 5
/* More steps than a swap can take at once. */
#define MOST_STEPS 16

enum { WAIT, ON };

/* What libvirt shows. */
struct sight {
	struct domain domain;
	bool is_there; /* the instance exists */
	bool runs;
	xmlNodePtr live, config; /* the disk; NULL: it has none */
	bool live_is_from, live_is_to; /* where the guest writes */
	bool config_is_from, config_is_to, config_is_nowhere;
	bool has_mirror, mirror_is_ours; /* a copy is being made; to T */
	struct mirror mirror;
	char device[DISK_DEVICE_SIZE]; /* of the live disk */
};

static void auto_sight_clear(struct sight *sight)
{
	domain_clear(&sight->domain);
}

static int look(const struct swap_run *run, const struct swap *swap, struct sight *out,
	struct error *err)
{
	struct location at, nowhere;
	int rc = domain_open(run->host, swap->instance, &out->domain, err);

	if (rc <= 0)
		return rc;
	out->is_there = true;
	out->runs = out->domain.live != NULL;
	out->live = domain_live_disk(&out->domain, swap->volume);
	out->config = domain_config_disk(&out->domain, swap->volume);
	if (out->live) {
		disk_location(out->live, &at);
		disk_device(out->live, out->device);
		out->live_is_from = location_equal(&at, &swap->from);
		out->live_is_to = location_equal(&at, &swap->to);
		out->has_mirror = disk_mirror(out->live, &out->mirror);
		out->mirror_is_ours = out->has_mirror && out->mirror.is_copy &&
			location_equal(&out->mirror.to, &swap->to);
	}
	if (out->config) {
		disk_nowhere(swap->volume, &nowhere);
		disk_location(out->config, &at);
		out->config_is_from = location_equal(&at, &swap->from);
		out->config_is_to = location_equal(&at, &swap->to);
		out->config_is_nowhere = location_equal(&at, &nowhere);
	}
	return 0;
}

/* ---- going on ---- */

static int __attribute__((format(printf, 5, 6)))
go_to(const struct swap_run *run, struct swap *swap, enum swap_step step,
	struct error *err, const char *reason, ...)
{
	struct swap next = *swap;
	va_list args;

	next.step = step;
	if (reason) {
		va_start(args, reason);
		vsnprintf(next.reason, sizeof(next.reason), reason, args);
		va_end(args);
	}
	if (swap_is_over(&next))
		next.ended_at = time(NULL);
	if (run->save(run->arg, &next, err) < 0)
		return -1;
	*swap = next;
	log_info("swap %s instance=%s volume=%s target=%s%s%s%s", swap_step_name(step),
		swap->instance, swap->volume, swap->target, reason ? " reason='" : "",
		reason ? next.reason : "", reason ? "'" : "");
	return ON;
}

/* Is it something that will pass? Then *err stands. */
static bool is_passing(const struct error *err)
{
	return err->code == ERR_LOST || err->code == ERR_TIMEOUT;
}

static int fail(const struct swap_run *run, struct swap *swap, const struct error *why,
	struct error *err)
{
	return go_to(run, swap, SWAP_FAILING, err, "%s", why->text);
}

/* The words for an instance that does not run. */
static const char *absence(const struct sight *sight)
{
	return sight->is_there ? domain_state_name(sight->domain.state) : "gone";
}

/* ---- the steps ---- */

static int start(const struct swap_run *run, struct swap *swap, struct sight *sight,
	struct error *err)
{
	AUTO(free) char *xml = NULL;
	struct error why;

	if (!sight->runs)
		return go_to(run, swap, SWAP_FAILING, err,
			"the instance is %s, so its disk cannot be copied",
			absence(sight));
	if (sight->mirror_is_ours) {
		swap->domain_id = sight->domain.id;
		return go_to(run, swap, SWAP_COPYING, err, NULL);
	}
	if (sight->live_is_to)
		return go_to(run, swap, SWAP_PIVOTED, err, NULL);
	if (!sight->live_is_from || sight->has_mirror)
		return go_to(run, swap, SWAP_FAILING, err, "%s",
			sight->has_mirror ? "another job is running on the disk"
					  : "the instance does not have the disk");
	xml = disk_copy_text(&swap->to);
	if (fault_point("compute.copy", err) < 0)
		return -1;
	if (domain_copy_start(&sight->domain, sight->device, xml, swap->rate, &why) <
		0) {
		if (is_passing(&why)) {
			*err = why;
			return -1;
		}
		return fail(run, swap, &why, err);
	}
	if (fault_point("compute.copying", err) < 0)
		return -1;
	swap->domain_id = sight->domain.id;
	return go_to(run, swap, SWAP_COPYING, err, NULL);
}

static int copy_ended(const struct swap_run *run, struct swap *swap,
	const struct sight *sight, struct error *err)
{
	if (!sight->runs)
		return go_to(run, swap, SWAP_FAILING, err,
			"the instance is %s: it ended while its disk was being copied",
			absence(sight));
	if (!sight->live)
		return go_to(run, swap, SWAP_FAILING, err,
			"the disk was detached while it was being copied");
	if (swap->domain_id >= 0 && swap->domain_id != sight->domain.id)
		return go_to(run, swap, SWAP_FAILING, err,
			"the instance was started anew while its disk was being copied");
	return go_to(run, swap, SWAP_FAILING, err,
		"the copy ended before it was complete: the new disk could not be "
		"written, or somebody ended it");
}

static int watch(const struct swap_run *run, struct swap *swap, struct sight *sight,
	struct error *err)
{
	struct domain_job job;
	int rc;

	if (sight->live_is_to)
		return go_to(run, swap, SWAP_PIVOTED, err, NULL);
	if (!sight->mirror_is_ours)
		return copy_ended(run, swap, sight, err);
	/* What QEMU is asked now keeps the guest waiting. */
	if (sight->mirror.is_ready && swap->total > 0) {
		swap->done = swap->total;
		return go_to(run, swap, SWAP_BLOCKING, err, NULL);
	}
	rc = domain_copy_look(&sight->domain, sight->device, &job, err);
	if (rc < 0)
		return is_passing(err) ? -1 : WAIT; /* it has just ended */
	if (rc == 0)
		return WAIT;
	swap->done = job.done;
	swap->total = job.total;
	if (sight->mirror.is_ready)
		return go_to(run, swap, SWAP_BLOCKING, err, NULL);
	if (job.rate != swap->rate &&
		domain_copy_rate(&sight->domain, sight->device, swap->rate, err) < 0)
		return is_passing(err) ? -1 : WAIT;
	return WAIT;
}

/* From here on the instance cannot be started with S. */
static int block(const struct swap_run *run, struct swap *swap, struct sight *sight,
	struct error *err)
{
	struct location nowhere;
	struct error why;

	if (!sight->mirror_is_ours)
		return sight->live_is_to ? go_to(run, swap, SWAP_PIVOTED, err, NULL)
					 : copy_ended(run, swap, sight, err);
	if (sight->config && !sight->config_is_from && !sight->config_is_nowhere)
		return go_to(run, swap, SWAP_FAILING, err,
			"the instance's definition has another disk for the volume");
	if (fault_point("compute.block", err) < 0)
		return -1;
	if (sight->config_is_from) {
		AUTO(free) char *xml = NULL;

		disk_nowhere(swap->volume, &nowhere);
		xml = disk_moved_text(sight->config, &nowhere);
		if (domain_redefine_disk(&sight->domain, xml, &why) < 0) {
			if (!is_passing(&why))
				return fail(run, swap, &why, err);
			*err = why;
			return -1;
		}
	}
	if (fault_point("compute.blocked", err) < 0)
		return -1;
	return go_to(run, swap, SWAP_PIVOTING, err, NULL);
}

static int hold(const struct swap_run *run, struct swap *swap,
	const struct sight *sight, struct error *err)
{
	return go_to(run, swap, SWAP_HELD, err,
		"the instance ended while it went over from '%s' to '%s', and which of "
		"them has its last writes cannot be proven: somebody must decide (it is "
		"%s now)",
		swap->from.kind == LOCATION_NBD ? swap->from.export : swap->from.path,
		swap->to.kind == LOCATION_NBD ? swap->to.export : swap->to.path,
		sight->runs ? "running" : absence(sight));
}

/* From the first attempt on nobody can say where a guest that has ended was. */
static int count_pivot(const struct swap_run *run, struct swap *swap, struct error *err)
{
	struct swap next = *swap;

	next.pivots++;
	if (run->save(run->arg, &next, err) < 0)
		return -1;
	*swap = next;
	return 0;
}

static int try_pivot(const struct swap_run *run, struct swap *swap, struct sight *sight,
	struct error *err)
{
	if (count_pivot(run, swap, err) < 0 || fault_point("compute.pivot", err) < 0)
		return -1;
	if (domain_copy_pivot(&sight->domain, sight->device, err) < 0)
		return -1;
	if (fault_point("compute.pivoted", err) < 0)
		return -1;
	return go_to(run, swap, SWAP_PIVOTED, err, NULL);
}

static int pivot(const struct swap_run *run, struct swap *swap, struct sight *sight,
	struct error *err)
{
	if (sight->live_is_to)
		return go_to(run, swap, SWAP_PIVOTED, err, NULL);
	if (swap->pivots > 0 && (!sight->runs || sight->domain.id != swap->domain_id))
		return hold(run, swap, sight, err);
	if (sight->mirror_is_ours && sight->mirror.is_ending)
		return WAIT;
	if (!sight->mirror_is_ours)
		return copy_ended(run, swap, sight, err);
	if (swap->pivots >= MOST_PIVOTS)
		return go_to(run, swap, SWAP_FAILING, err,
			"the guest could not go over to the new disk, tried %d times",
			swap->pivots);
	return try_pivot(run, swap, sight, err);
}

/* The definition follows the guest: 0, or -1 with *err (try again). */
static int define(struct swap *swap, struct sight *sight, const struct location *to,
	struct error *err)
{
	AUTO(free) char *xml = NULL;

	if (!sight->config)
		return 0;
	xml = disk_moved_text(sight->config, to);
	return domain_redefine_disk(&sight->domain, xml, err) < 0
		? error_context(err, "volume '%s'", swap->volume)
		: 0;
}

static int settle(const struct swap_run *run, struct swap *swap, struct sight *sight,
	struct error *err)
{
	if (fault_point("compute.define", err) < 0)
		return -1;
	if (!sight->config_is_to && define(swap, sight, &swap->to, err) < 0)
		return -1;
	if (fault_point("compute.defined", err) < 0)
		return -1;
	return go_to(run, swap, SWAP_MOVED, err, NULL);
}

/* The copy ends, the instance stays on S. */
static int withdraw(const struct swap_run *run, struct swap *swap, struct sight *sight,
	struct error *err)
{
	bool cancelled = swap->step == SWAP_CANCELLING;

	if (sight->live_is_to)
		return go_to(run, swap, SWAP_PIVOTED, err, NULL);
	if (sight->mirror_is_ours) {
		if (!sight->mirror.is_ending &&
			domain_copy_abort(&sight->domain, sight->device, err) < 0)
			return -1;
		return sight->mirror.is_ending ? WAIT : ON; /* look again */
	}
	if (fault_point("compute.withdraw", err) < 0)
		return -1;
	if (sight->config_is_nowhere && define(swap, sight, &swap->from, err) < 0)
		return -1;
	return go_to(run, swap, cancelled ? SWAP_CANCELLED : SWAP_FAILED, err, NULL);
}

/* Somebody may have repaired it by hand, and a guest that runs proves where it is. */
static int wait_for_evidence(const struct swap_run *run, struct swap *swap,
	struct sight *sight, struct error *err)
{
	if (sight->live_is_to)
		return go_to(run, swap, SWAP_PIVOTED, err, NULL);
	if (sight->live_is_from && !sight->has_mirror)
		return go_to(run, swap, SWAP_FAILING, err,
			"the instance was started with its old disk again");
	return WAIT;
}

static int (*const acts[SWAP_STEP_COUNT])(const struct swap_run *run, struct swap *swap,
	struct sight *sight, struct error *err) = {
	[SWAP_ORDERED] = start,
	[SWAP_COPYING] = watch,
	[SWAP_BLOCKING] = block,
	[SWAP_PIVOTING] = pivot,
	[SWAP_PIVOTED] = settle,
	[SWAP_FAILING] = withdraw,
	[SWAP_CANCELLING] = withdraw,
	[SWAP_HELD] = wait_for_evidence,
};

int swap_advance(const struct swap_run *run, struct swap *swap, struct error *err)
{
	for (int i = 0; i < MOST_STEPS && acts[swap->step]; i++) {
		AUTO(sight_clear) struct sight sight = { .is_there = false };
		int rc;

		if (look(run, swap, &sight, err) < 0)
			return -1;
		rc = acts[swap->step](run, swap, &sight, err);
		if (rc != ON)
			return rc < 0 ? -1 : 0;
	}
	return 0;
}

int swap_cancel(const struct swap_run *run, struct swap *swap, struct error *err)
{
	if ((swap->step == SWAP_ORDERED || swap->step == SWAP_COPYING ||
		    swap->step == SWAP_BLOCKING) &&
		go_to(run, swap, SWAP_CANCELLING, err, "it was cancelled") < 0)
		return -1;
	return swap_advance(run, swap, err);
}

int swap_resolve(
	const struct swap_run *run, struct swap *swap, bool moved, struct error *err)
{
	if (swap->step != SWAP_HELD)
		return swap_advance(run, swap, err);
	if (go_to(run, swap, moved ? SWAP_PIVOTED : SWAP_FAILING, err,
		    moved ? "somebody decided that the instance has moved"
			  : "somebody decided that the instance has not moved") < 0)
		return -1;
	return swap_advance(run, swap, err);
}
