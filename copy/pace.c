/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/pace.h"

#include <time.h>

#include "common/text.h"

#define REPORT_SECONDS 0.25
#define RATE_SMOOTHING 0.3 /* weight of the newest interval */

void pace_init(struct pace *pace, const struct copy_options *options)
{
	*pace = (struct pace) {
		.options = options,
		.started = clock_seconds(),
		.reported_position = options->start,
	};
	pace->reported = pace->next = pace->started;
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

int pace_wait(struct pace *pace, struct copy_progress *progress, uint64_t bytes,
	struct error *err)
{
	double now = clock_seconds();

	if (pace->options->rate_limit == 0)
		return 0;
	/* Time that was not used is not saved up for a burst. */
	if (pace->next < now)
		pace->next = now;
	while (now < pace->next) {
		double left = pace->next - now;
		left = left < REPORT_SECONDS ? left : REPORT_SECONDS;
		if (nap(pace, progress, left, err) < 0)
			return -1;
		now = clock_seconds();
	}
	pace->next += (double)bytes / (double)pace->options->rate_limit;
	return 0;
}
