/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/copy.h"

#include <inttypes.h>

#include "common/auto.h"
#include "common/fault.h"
#include "common/text.h"
#include "copy/digest.h"
#include "copy/pace.h"
#include "copy/side.h"
#include "copy/window.h"

#define CHECKPOINT_BYTES ((uint64_t)256 << 20)
#define CHECKPOINT_BYTES_MAX ((uint64_t)1 << 30)
#define CHECKPOINT_SECONDS 5.0
#define WAIT_SECONDS 0.25

struct copy {
	const struct copy_options *options;
	uint64_t checkpoint_bytes; /* within bounds, a multiple of CHUNK_SIZE */
	double checkpoint_seconds;
	bool blank; /* a new block device: zeroes need no clearing */
	struct side source, target;
	void *buffer; /* one chunk */
	struct window windows[2];
	struct window *current; /* being copied */
	struct window *behind; /* read back meanwhile, when it runs */
	double window_started;
	struct digest chain; /* up to progress.verified */
	struct copy_progress progress;
	struct pace pace;
};

static int prepare_options(
	struct copy *copy, const struct copy_options *options, struct error *err)
{
	uint64_t bytes = options->checkpoint_bytes;

	if (options->start > options->size ||
		(options->start % CHUNK_SIZE != 0 && options->start != options->size))
		return error_set(err, ERR_INVALID_INPUT,
			"%" PRIu64 " is not a checkpoint of this copy", options->start);
	if (options->start > 0 && !digest_from_text(options->chain_start, &copy->chain))
		return error_set(err, ERR_INVALID_INPUT,
			"checkpoint %" PRIu64 " comes without its digest",
			options->start);
	bytes = bytes ? bytes : CHECKPOINT_BYTES;
	bytes = bytes < CHECKPOINT_BYTES_MAX ? bytes : CHECKPOINT_BYTES_MAX;
	copy->checkpoint_bytes = (bytes + CHUNK_SIZE - 1) / CHUNK_SIZE * CHUNK_SIZE;
	copy->checkpoint_seconds = options->checkpoint_seconds > 0
		? options->checkpoint_seconds
		: CHECKPOINT_SECONDS;
	copy->options = options;
	copy->progress.total = options->size;
	copy->progress.position = copy->progress.verified = options->start;
	return 0;
}

static int prepare_windows(struct copy *copy, struct error *err)
{
	size_t room = (size_t)(copy->checkpoint_bytes / CHUNK_SIZE);

	copy->buffer = side_buffer();
	if (!copy->buffer)
		return error_no_memory(err);
	for (size_t i = 0; i < ARRAY_SIZE(copy->windows); i++)
		if (window_init(&copy->windows[i], room, &copy->source, &copy->target,
			    err) < 0)
			return -1;
	copy->current = &copy->windows[0];
	copy->behind = &copy->windows[1];
	window_reset(copy->current, copy->options->start);
	copy->window_started = clock_seconds();
	return 0;
}

static void copy_clear(struct copy *copy)
{
	for (size_t i = 0; i < ARRAY_SIZE(copy->windows); i++)
		window_clear(&copy->windows[i]);
	free(copy->buffer);
	side_close(&copy->source);
	side_close(&copy->target);
}
DEFINE_AUTO(struct copy *, copy_clear)

static void advance(struct copy *copy, uint64_t to)
{
	copy->progress.position = copy->current->to = to;
}

static int clear_range(
	struct copy *copy, uint64_t offset, uint64_t length, struct error *err)
{
	copy->progress.skipped += length;
	if (copy->blank)
		return 0;
	return side_zero(&copy->target, offset, length, err);
}

/* The source has only zeroes up to until. One step goes as far as the target is a hole
 * already, which costs nothing; else as far as one window's clearing and reading back. */
static int copy_zeroes(struct copy *copy, uint64_t until, struct error *err)
{
	uint64_t position = copy->progress.position;
	uint64_t room = copy->checkpoint_bytes;
	uint64_t stale;

	if (side_next_data(&copy->target, position, until, &stale, err) < 0)
		return -1;
	if (stale < until)
		stale -= stale % CHUNK_SIZE;
	if (stale > position) {
		copy->progress.skipped += stale - position;
		advance(copy, stale);
		return 0;
	}
	if (until - position > room)
		until = position + room;
	if (clear_range(copy, position, until - position, err) < 0)
		return -1;
	copy->current->cleared += until - position;
	advance(copy, until);
	return 0;
}

static size_t grain_at(size_t done, size_t length)
{
	size_t rest = length - done;

	return rest < GRAIN_SIZE ? rest : (size_t)GRAIN_SIZE;
}

/* Length of the run of grains from done that are all zeroes, or all not. */
static size_t run_at(const unsigned char *data, size_t done, size_t length, bool *zero)
{
	size_t at = done;

	*zero = grain_is_zero(data + at, grain_at(at, length));
	do
		at += grain_at(at, length);
	while (at < length && grain_is_zero(data + at, grain_at(at, length)) == *zero);
	return at - done;
}

static int write_chunk(struct copy *copy, size_t length, struct error *err)
{
	uint64_t position = copy->progress.position;
	const unsigned char *data = copy->buffer;
	size_t run;

	for (size_t done = 0; done < length; done += run) {
		bool zero;

		run = run_at(data, done, length, &zero);
		if (zero) {
			if (clear_range(copy, position + done, run, err) < 0)
				return -1;
			continue;
		}
		if (side_write(&copy->target, data + done, position + done, run, err) <
			0)
			return -1;
		copy->progress.copied += run;
	}
	return 0;
}

static int copy_chunk(struct copy *copy, struct error *err)
{
	uint64_t position = copy->progress.position;
	uint64_t rest = copy->options->size - position;
	size_t length = (size_t)(rest < CHUNK_SIZE ? rest : CHUNK_SIZE);
	struct digest digest;

	if (pace_wait(&copy->pace, &copy->progress, length, err) < 0 ||
		side_read(&copy->source, copy->buffer, position, length, err) < 0)
		return -1;
	if (chunk_is_zero(copy->buffer, length))
		return copy_zeroes(copy, position + length, err);
	digest_of(copy->buffer, length, &digest);
	if (fault_point("copy.chunk", err) < 0 || write_chunk(copy, length, err) < 0)
		return -1;
	window_add(copy->current, position, length, &digest);
	advance(copy, position + length);
	return 0;
}

static int copy_step(struct copy *copy, struct error *err)
{
	uint64_t position = copy->progress.position;
	uint64_t data;

	if (side_next_data(&copy->source, position, copy->options->size, &data, err) <
		0)
		return -1;
	if (data < copy->options->size)
		data -= data % CHUNK_SIZE;
	if (data > position)
		return copy_zeroes(copy, data, err);
	return copy_chunk(copy, err);
}

/* The window behind is equal: make it the checkpoint. */
static int take_checkpoint(struct copy *copy, struct error *err)
{
	const struct copy_options *options = copy->options;
	char text[DIGEST_TEXT_SIZE];

	if (fault_point("copy.checkpoint", err) < 0)
		return -1;
	window_chain(copy->behind, &copy->chain);
	copy->progress.verified = copy->behind->to;
	digest_to_text(&copy->chain, text);
	if (!options->on_checkpoint)
		return 0;
	return options->on_checkpoint(options->arg, copy->behind->to, text, err);
}

/* Wait for the window behind, when there is one. */
static int settle(struct copy *copy, struct error *err)
{
	int done = 0;

	if (!copy->behind->running)
		return 0;
	while (done == 0) {
		done = window_check_wait(copy->behind, WAIT_SECONDS, err);
		if (done < 0 ||
			pace_report(&copy->pace, &copy->progress, false, err) < 0)
			return -1;
	}
	return take_checkpoint(copy, err);
}

/* Make the current window durable, have it read back, and begin the next one. */
static int close_window(struct copy *copy, struct error *err)
{
	struct window *full = copy->current;

	if (settle(copy, err) < 0)
		return -1;
	if (fault_point("copy.written", err) < 0 ||
		side_flush(&copy->target, err) < 0 ||
		fault_point("copy.flushed", err) < 0)
		return -1;
	if (window_check_start(full, err) < 0)
		return -1;
	copy->current = copy->behind;
	copy->behind = full;
	window_reset(copy->current, full->to);
	copy->window_started = clock_seconds();
	return 0;
}

static bool window_is_full(const struct copy *copy)
{
	const struct window *window = copy->current;
	uint64_t work = window->used * CHUNK_SIZE + window->cleared;

	return work >= copy->checkpoint_bytes ||
		clock_seconds() - copy->window_started >= copy->checkpoint_seconds;
}

static int copy_all(struct copy *copy, struct error *err)
{
	while (copy->progress.position < copy->options->size) {
		if (copy_step(copy, err) < 0)
			return -1;
		if (window_check_finished(copy->behind) && settle(copy, err) < 0)
			return -1;
		if (window_is_full(copy) && close_window(copy, err) < 0)
			return -1;
		if (pace_report(&copy->pace, &copy->progress, false, err) < 0)
			return -1;
	}
	if (copy->current->to > copy->current->from && close_window(copy, err) < 0)
		return -1;
	return settle(copy, err);
}

static void fill_result(struct copy *copy, struct copy_result *result)
{
	struct digest receipt = copy->chain;

	digest_finish(&receipt, copy->options->size);
	*result = (struct copy_result) {
		.copied = copy->progress.copied,
		.skipped = copy->progress.skipped,
		.seconds = clock_seconds() - copy->pace.started,
	};
	digest_to_text(&receipt, result->digest);
}

int copy_run(const struct endpoint *source, const struct endpoint *target,
	const struct copy_options *options, struct copy_result *result,
	struct error *err)
{
	struct copy state = {
		.source = { .fd = -1, .direct = -1 },
		.target = { .fd = -1, .direct = -1 },
	};
	AUTO(copy_clear) struct copy *copy = &state;

	if (prepare_options(copy, options, err) < 0 ||
		fault_point("copy.start", err) < 0)
		return -1;
	if (sides_open(source, target, options->size, &copy->source, &copy->target,
		    err) < 0)
		return -1;
	copy->blank = !copy->target.is_file && target->zero_when_new &&
		options->target_is_new && options->start == 0;
	if (prepare_windows(copy, err) < 0)
		return -1;
	pace_init(&copy->pace, options);
	if (copy_all(copy, err) < 0 ||
		pace_report(&copy->pace, &copy->progress, true, err) < 0)
		return -1;
	fill_result(copy, result);
	return 0;
}
