/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/pace.h"

#include <inttypes.h>
#include <time.h>

#include "common/text.h"

#define REPORT_SECONDS 0.5
#define NAP_SECONDS 0.25
#define RATE_SMOOTHING 0.3 /* weight of the newest interval */

void pace_init(struct pace *pace, const struct copy_options *options)
{
	*pace = (struct pace) {
		.options = options,
		.started = clock_seconds(),
		.reported_position = options->start,
	};
	pace->reported = pace->paid = pace->started;
}

static double new_rate(const struct pace *pace, uint64_t position, double seconds)
{
	double rate = (double)(position - pace->reported_position) / seconds;

	if (pace->rate > 0)
		rate = pace->rate + RATE_SMOOTHING * (rate - pace->rate);
	return rate;
}

int pace_report(struct pace *pace, struct copy_progress *progress, bool at_end,
	struct error *err)
{
	double now = clock_seconds();
	double seconds = now - pace->reported;
	struct copy_control *control = pace->options->control;

	if (control && atomic_load(&control->cancelled))
		return error_set(err, ERR_CANCELLED,
			"cancelled when %" PRIu64 " of %" PRIu64 " bytes were copied",
			progress->position, progress->total);
	if (seconds < REPORT_SECONDS && !at_end)
		return 0;
	if (seconds >= REPORT_SECONDS || (seconds > 0 && pace->rate == 0))
		pace->rate = new_rate(pace, progress->position, seconds);
	progress->rate = pace->rate;
	pace->reported = now;
	pace->reported_position = progress->position;
	if (!pace->options->on_progress)
		return 0;
	return pace->options->on_progress(pace->options->arg, progress, err);
}

static int nap(struct pace *pace, struct copy_progress *progress, double seconds,
	struct error *err)
{
	struct timespec time = { .tv_sec = (time_t)seconds };

	if (pace->wait)
		return pace->wait(pace->arg, seconds, err);
	time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
	nanosleep(&time, NULL);
	return pace_report(pace, progress, false, err);
}

static uint64_t rate_limit(const struct pace *pace)
{
	struct copy_control *control = pace->options->control;

	return control ? atomic_load(&control->rate_limit) : pace->options->rate_limit;
}

static bool is_paused(const struct pace *pace)
{
	struct copy_control *control = pace->options->control;

	return control && atomic_load(&control->paused);
}

/* For how long the next transfer must wait. debt: bytes that the limit has not paid for. */
static double wait_seconds(struct pace *pace)
{
	double now = clock_seconds();
	uint64_t limit = rate_limit(pace);
	double seconds;

	if (is_paused(pace)) {
		pace->paid = now;
		return NAP_SECONDS;
	}
	if (limit == 0) {
		pace->debt = 0;
		return 0;
	}
	/* Time that was not used is not saved up for a burst. */
	pace->debt -= (now - pace->paid) * (double)limit;
	pace->debt = pace->debt > 0 ? pace->debt : 0;
	pace->paid = now;
	seconds = pace->debt / (double)limit;
	return seconds < NAP_SECONDS ? seconds : NAP_SECONDS;
}

bool pace_is_due(struct pace *pace)
{
	return wait_seconds(pace) <= 0;
}

int pace_wait(struct pace *pace, struct copy_progress *progress, uint64_t bytes,
	struct error *err)
{
	double seconds;

	while ((seconds = wait_seconds(pace)) > 0)
		if (nap(pace, progress, seconds, err) < 0)
			return -1;
	pace->debt += (double)bytes;
	return 0;
}
