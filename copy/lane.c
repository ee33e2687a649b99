/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/lane.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "copy/end_writer.h"

#define LANES 2 /* measured on two processors; more brought nothing there */
#define TICK_SECONDS 0.25

struct lane {
	struct lanes *lanes;
	struct end *target; /* the thread's */
	struct fifo under_way; /* the thread's: sent, and not all answered */
	int wake; /* eventfd: there is something to do */
	unsigned given; /* jobs that did not end; the caller's */
	bool running;
	pthread_t thread;
	struct fifo waiting; /* under the mutex of the lanes */
};

struct lanes {
	const struct end_wait *opening; /* while the connections are made */
	int wake; /* of the caller */
	atomic_bool stop;
	pthread_mutex_t mutex;
	struct fifo ended[LANES]; /* under mutex */
	struct error error; /* under mutex: the first one */
	struct lane lanes[LANES];
};

static struct lane_job *take(struct fifo *fifo)
{
	struct fifo_link *link = fifo_take(fifo);

	return link ? container_of(link, struct lane_job, link) : NULL;
}

static int tick(void *arg, struct error *err)
{
	const struct lane *lane = arg;
	const struct end_wait *opening = lane->lanes->opening;

	if (opening)
		return opening->tick ? opening->tick(opening->arg, err) : 0;
	if (!atomic_load(&lane->lanes->stop))
		return 0;
	return error_set(err, ERR_CANCELLED, "the copy ends");
}

static int wait_a_bit(void *arg, struct error *err)
{
	struct lane *lane = arg;

	if (tick(lane, err) < 0)
		return -1;
	return end_poll(lane->target, NULL, lane->wake, TICK_SECONDS, err);
}

/* Jobs that are answered are the caller's again. */
static void end_jobs(struct lane *lane)
{
	struct lanes *lanes = lane->lanes;
	struct fifo *ended = &lanes->ended[lane - lanes->lanes];
	struct fifo rest;
	struct lane_job *job;
	bool some = false;

	fifo_init(&rest);
	pthread_mutex_lock(&lanes->mutex);
	while ((job = take(&lane->under_way))) {
		some = some || job->answers == 0;
		fifo_add(job->answers == 0 ? ended : &rest, &job->link);
	}
	pthread_mutex_unlock(&lanes->mutex);
	while ((job = take(&rest)))
		fifo_add(&lane->under_way, &job->link);
	if (some)
		eventfd_write(lanes->wake, 1);
}

static struct lane_job *next_job(struct lane *lane)
{
	struct lane_job *job;

	pthread_mutex_lock(&lane->lanes->mutex);
	job = take(&lane->waiting);
	pthread_mutex_unlock(&lane->lanes->mutex);
	return job;
}

static int carry_job(struct lane *lane, struct lane_job *job, struct error *err)
{
	struct carry *carry = &job->carry;
	struct end_writer writer = {
		.end = lane->target,
		.wait = wait_a_bit,
		.tick = tick,
		.arg = lane,
		.buffer = &job->answers,
		.copied = &carry->copied,
		.skipped = &carry->skipped,
	};

	job->answers = 0;
	fifo_add(&lane->under_way, &job->link);
	carry->to = end_writer_target(&writer);
	carry->piece = lane->target->transfer_bytes > CARRY_PIECE
		? lane->target->transfer_bytes
		: CARRY_PIECE;
	return carry_run(carry, err);
}

static int work(struct lane *lane, struct error *err)
{
	for (;;) {
		struct lane_job *job = next_job(lane);

		if (job ? carry_job(lane, job, err) < 0 : wait_a_bit(lane, err) < 0)
			return -1;
		end_jobs(lane);
		if (job && end_poll(lane->target, NULL, -1, 0, err) < 0)
			return -1;
	}
}

static void *lane_main(void *arg)
{
	struct lane *lane = arg;
	struct lanes *lanes = lane->lanes;
	struct error error = { 0 };

	work(lane, &error);
	pthread_mutex_lock(&lanes->mutex);
	if (!lanes->error.code)
		lanes->error = error;
	pthread_mutex_unlock(&lanes->mutex);
	eventfd_write(lanes->wake, 1);
	return NULL;
}

static int lane_open(struct lane *lane, const struct endpoint *target,
	const struct end_options *options, struct error *err)
{
	struct end_options how = *options;

	fifo_init(&lane->under_way);
	fifo_init(&lane->waiting);
	how.one_connection = true;
	how.wait = (struct end_wait) { .tick = tick, .arg = lane };
	lane->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lane->wake < 0)
		return error_set_errno(err, ERR_INTERNAL, "cannot make an eventfd");
	return end_open("target", target, &how, &lane->target, err);
}

static int lane_start(struct lane *lane, struct error *err)
{
	errno = pthread_create(&lane->thread, NULL, lane_main, lane);
	if (errno)
		return error_set_errno(err, ERR_INTERNAL, "cannot start a thread");
	lane->running = true;
	return 0;
}

int lanes_open(const struct endpoint *target, const struct end_options *options,
	int wake, struct lanes **out, struct error *err)
{
	AUTO(lanes_close) struct lanes *lanes = calloc(1, sizeof(*lanes));

	if (!lanes)
		return error_no_memory(err);
	lanes->opening = &options->wait;
	lanes->wake = wake;
	pthread_mutex_init(&lanes->mutex, NULL);
	for (unsigned i = 0; i < LANES; i++) {
		lanes->lanes[i].lanes = lanes;
		lanes->lanes[i].wake = -1;
		fifo_init(&lanes->ended[i]);
	}
	for (unsigned i = 0; i < LANES; i++)
		if (lane_open(&lanes->lanes[i], target, options, err) < 0)
			return -1;
	lanes->opening = NULL;
	for (unsigned i = 0; i < LANES; i++)
		if (lane_start(&lanes->lanes[i], err) < 0)
			return -1;
	*out = steal(lanes);
	return 0;
}

void lanes_close(struct lanes *lanes)
{
	if (!lanes)
		return;
	atomic_store(&lanes->stop, true);
	for (unsigned i = 0; i < LANES; i++) {
		struct lane *lane = &lanes->lanes[i];

		if (lane->wake >= 0)
			eventfd_write(lane->wake, 1);
		if (lane->running)
			pthread_join(lane->thread, NULL);
		end_close(lane->target);
		if (lane->wake >= 0)
			close(lane->wake);
	}
	pthread_mutex_destroy(&lanes->mutex);
	free(lanes);
}

static int repeat_error(struct lanes *lanes, struct error *err)
{
	int failed;

	pthread_mutex_lock(&lanes->mutex);
	failed = lanes->error.code ? -1 : 0;
	if (failed && err)
		*err = lanes->error;
	pthread_mutex_unlock(&lanes->mutex);
	return failed;
}

int lanes_start(
	struct lanes *lanes, struct lane_job *job, unsigned *pending, struct error *err)
{
	struct lane *lane = &lanes->lanes[0];

	if (repeat_error(lanes, err) < 0)
		return -1;
	for (unsigned i = 1; i < LANES; i++)
		if (lanes->lanes[i].given < lane->given)
			lane = &lanes->lanes[i];
	job->pending = pending;
	++*pending;
	lane->given++;
	pthread_mutex_lock(&lanes->mutex);
	fifo_add(&lane->waiting, &job->link);
	pthread_mutex_unlock(&lanes->mutex);
	eventfd_write(lane->wake, 1);
	return 0;
}

int lanes_serve(struct lanes *lanes, struct error *err)
{
	pthread_mutex_lock(&lanes->mutex);
	for (unsigned i = 0; i < LANES; i++) {
		struct lane_job *job;

		while ((job = take(&lanes->ended[i]))) {
			--*job->pending;
			lanes->lanes[i].given--;
		}
	}
	pthread_mutex_unlock(&lanes->mutex);
	return repeat_error(lanes, err);
}
