/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/copy.h"

#include <inttypes.h>
#include <sys/eventfd.h>

#include "common/auto.h"
#include "common/fault.h"
#include "common/text.h"
#include "copy/ahead.h"
#include "copy/digest.h"
#include "copy/pace.h"
#include "copy/side.h"
#include "copy/target.h"
#include "copy/window.h"

#define CHECKPOINT_BYTES ((uint64_t)256 << 20)
#define CHECKPOINT_BYTES_MAX ((uint64_t)1 << 30)
#define CHECKPOINT_SECONDS 5.0
#define WAIT_SECONDS 0.25
#define LAST_BYTES ((uint64_t)32 << 20)

/* Where the window behind is on its way to a checkpoint. */
enum stage { STAGE_NONE, STAGE_WRITING, STAGE_FLUSHING, STAGE_CHECKING };

struct buffer {
	void *data; /* one chunk; NULL: not needed so far */
	unsigned pending; /* requests that borrow it */
};

struct copy {
	const struct copy_options *options;
	uint64_t checkpoint_bytes; /* within bounds, a multiple of CHUNK_SIZE */
	double checkpoint_seconds;
	struct side source;
	struct target target;
	int wake; /* eventfd: the window behind was read back, or a chunk ahead */
	struct ahead ahead;
	struct buffer *buffers;
	size_t buffer_count;
	struct window windows[2];
	struct window *current; /* being copied */
	struct window *behind; /* being made a checkpoint meanwhile */
	enum stage stage; /* of the window behind */
	double window_started;
	struct copy_digest chain; /* up to progress.verified */
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
	pace_init(&copy->pace, options);
	return 0;
}

static int prepare_windows(struct copy *copy, struct error *err)
{
	size_t room = (size_t)(copy->checkpoint_bytes / CHUNK_SIZE);

	copy->buffer_count = target_buffers(&copy->target);
	copy->buffers = calloc(copy->buffer_count, sizeof(*copy->buffers));
	if (!copy->buffers)
		return error_no_memory(err);
	for (size_t i = 0; i < ARRAY_SIZE(copy->windows); i++)
		if (window_init(&copy->windows[i], room, &copy->source, &copy->target,
			    copy->options, copy->wake, err) < 0)
			return -1;
	copy->current = &copy->windows[0];
	copy->behind = &copy->windows[1];
	window_reset(copy->current, copy->options->start);
	copy->window_started = clock_seconds();
	return 0;
}

/* The connections go first: they borrow the buffers. */
static void copy_clear(struct copy *copy)
{
	const struct copy_options *options = copy->options;

	if (copy->stage == STAGE_CHECKING && copy->target.remote &&
		options->read_back_stop)
		options->read_back_stop(options->arg);
	for (size_t i = 0; i < ARRAY_SIZE(copy->windows); i++)
		window_clear(&copy->windows[i]);
	target_close(&copy->target);
	ahead_clear(&copy->ahead);
	side_close(&copy->source);
	for (size_t i = 0; i < copy->buffer_count; i++)
		free(copy->buffers[i].data);
	free(copy->buffers);
	if (copy->wake >= 0)
		close(copy->wake);
}
DEFINE_AUTO(struct copy *, copy_clear)

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

/* Take the window behind as far as it goes without waiting. What is flushed was answered
 * before, so requests of the current window may be under way. */
static int advance_behind(struct copy *copy, struct error *err)
{
	struct window *window = copy->behind;
	int done;

	if (copy->stage == STAGE_WRITING && window->pending == 0) {
		if (fault_point("copy.written", err) < 0 ||
			target_flush(
				&copy->target, window->from, &window->pending, err) < 0)
			return -1;
		copy->stage = STAGE_FLUSHING;
	}
	if (copy->stage == STAGE_FLUSHING && window->pending == 0) {
		if (fault_point("copy.flushed", err) < 0 ||
			window_check_start(window, err) < 0)
			return -1;
		copy->stage = STAGE_CHECKING;
	}
	if (copy->stage != STAGE_CHECKING)
		return 0;
	done = window_check_done(window, err);
	if (done == 0)
		return 0;
	copy->stage = STAGE_NONE;
	return done < 0 ? -1 : take_checkpoint(copy, err);
}

/* Let what is under way go on, for at most seconds, and tell of it. */
static int copy_wait(void *arg, double seconds, struct error *err)
{
	struct copy *copy = arg;
	eventfd_t count;

	if (target_poll(&copy->target, copy->wake, seconds, err) < 0)
		return -1;
	if (seconds > 0)
		eventfd_read(copy->wake, &count);
	if (advance_behind(copy, err) < 0)
		return -1;
	return pace_report(&copy->pace, &copy->progress, false, err);
}

/* Wait until the window behind, when there is one, is the checkpoint. */
static int settle(struct copy *copy, struct error *err)
{
	while (copy->stage != STAGE_NONE)
		if (copy_wait(copy, WAIT_SECONDS, err) < 0)
			return -1;
	return 0;
}

/* Begin to make the current window a checkpoint, and begin the next one. */
static int close_window(struct copy *copy, struct error *err)
{
	struct window *full = copy->current;

	if (settle(copy, err) < 0)
		return -1;
	copy->current = copy->behind;
	copy->behind = full;
	copy->stage = STAGE_WRITING;
	window_reset(copy->current, full->to);
	copy->window_started = clock_seconds();
	return advance_behind(copy, err);
}

static void advance(struct copy *copy, uint64_t to)
{
	copy->progress.position = copy->current->to = to;
}

static int await_room(struct copy *copy, struct error *err)
{
	while (!target_has_room(&copy->target))
		if (copy_wait(copy, WAIT_SECONDS, err) < 0)
			return -1;
	return 0;
}

static int clear_range(
	struct copy *copy, uint64_t offset, uint64_t length, struct error *err)
{
	copy->progress.skipped += length;
	while (length > 0) {
		uint64_t most = copy->target.zero_bytes;
		uint64_t part = length < most ? length : most;

		if (await_room(copy, err) < 0 ||
			target_zero(&copy->target, offset, part,
				&copy->current->pending, err) < 0)
			return -1;
		offset += part;
		length -= part;
	}
	return 0;
}

static int write_range(struct copy *copy, struct buffer *buffer, size_t at,
	uint64_t offset, size_t length, struct error *err)
{
	const unsigned char *data = buffer->data;

	copy->progress.copied += length;
	while (length > 0) {
		size_t most = copy->target.write_bytes;
		size_t part = length < most ? length : most;

		if (await_room(copy, err) < 0 ||
			target_write(&copy->target, data + at, offset, part,
				&buffer->pending, &copy->current->pending, err) < 0)
			return -1;
		at += part;
		offset += part;
		length -= part;
	}
	return 0;
}

/* The source has only zeroes up to until. One step goes as far as the target is a hole
 * already, which costs nothing; else as far as one window's clearing and reading back. */
static int copy_zeroes(struct copy *copy, uint64_t until, struct error *err)
{
	uint64_t position = copy->progress.position;
	uint64_t room = copy->checkpoint_bytes;
	uint64_t stale;

	if (target_next_data(&copy->target, position, until, &stale, err) < 0)
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
	copy->current->cleared += target_clear_cost(&copy->target, until - position);
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

static int write_chunk(
	struct copy *copy, struct buffer *buffer, size_t length, struct error *err)
{
	uint64_t position = copy->progress.position;
	size_t run;

	for (size_t done = 0; done < length; done += run) {
		bool zero;
		int failed;

		run = run_at(buffer->data, done, length, &zero);
		failed = zero
			? clear_range(copy, position + done, run, err)
			: write_range(copy, buffer, done, position + done, run, err);
		if (failed)
			return -1;
	}
	return 0;
}

/* The first that is free, so that few are used while the target keeps up. */
static int find_buffer(struct copy *copy, struct buffer **out, struct error *err)
{
	for (;;) {
		for (size_t i = 0; i < copy->buffer_count; i++) {
			struct buffer *buffer = &copy->buffers[i];

			if (buffer->pending)
				continue;
			if (!buffer->data && !(buffer->data = side_buffer()))
				return error_no_memory(err);
			*out = buffer;
			return 0;
		}
		if (copy_wait(copy, WAIT_SECONDS, err) < 0)
			return -1;
	}
}

static size_t length_at(const struct copy *copy, uint64_t offset)
{
	uint64_t rest = copy->options->size - offset;

	return (size_t)(rest < CHUNK_SIZE ? rest : CHUNK_SIZE);
}

/* Holes are not read, so there is nothing to be gained ahead of them. */
static int read_ahead(struct copy *copy, uint64_t offset, struct error *err)
{
	size_t length = length_at(copy, offset);
	uint64_t data;

	if (length == 0)
		return 0;
	if (side_next_data(&copy->source, offset, offset + length, &data, err) < 0)
		return -1;
	return data == offset + length ? 0
				       : ahead_start(&copy->ahead, offset, length, err);
}

static int await_ahead(struct copy *copy, struct error *err)
{
	while (!ahead_is_done(&copy->ahead))
		if (copy_wait(copy, WAIT_SECONDS, err) < 0)
			return -1;
	return 0;
}

/* And begin with the next one. */
static int read_chunk(struct copy *copy, struct buffer *buffer, size_t length,
	bool *zero, struct copy_digest *digest, struct error *err)
{
	uint64_t position = copy->progress.position;

	if (!ahead_has(&copy->ahead, position, length) &&
		(await_ahead(copy, err) < 0 ||
			ahead_start(&copy->ahead, position, length, err) < 0))
		return -1;
	if (await_ahead(copy, err) < 0 ||
		ahead_take(&copy->ahead, &buffer->data, zero, digest, err) < 0)
		return -1;
	return read_ahead(copy, position + length, err);
}

static int copy_chunk(struct copy *copy, struct error *err)
{
	uint64_t position = copy->progress.position;
	size_t length = length_at(copy, position);
	struct buffer *buffer = NULL;
	struct copy_digest digest;
	bool zero;

	if (pace_wait(&copy->pace, &copy->progress, length, err) < 0 ||
		find_buffer(copy, &buffer, err) < 0 ||
		read_chunk(copy, buffer, length, &zero, &digest, err) < 0)
		return -1;
	if (zero)
		return copy_zeroes(copy, position + length, err);
	if (fault_point("copy.chunk", err) < 0 ||
		write_chunk(copy, buffer, length, err) < 0)
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

/* Towards the end of a copy to another host the windows become smaller: reading back the
 * last one is all that is left to wait for. */
static uint64_t window_bytes(const struct copy *copy)
{
	uint64_t rest = copy->options->size - copy->current->from;

	if (!copy->target.remote || rest / 2 >= copy->checkpoint_bytes)
		return copy->checkpoint_bytes;
	return rest / 2 > LAST_BYTES ? rest / 2 : LAST_BYTES;
}

static bool window_is_full(const struct copy *copy)
{
	const struct window *window = copy->current;
	uint64_t work = window->used * CHUNK_SIZE + window->cleared;

	return work >= window_bytes(copy) || window->used == window->room ||
		clock_seconds() - copy->window_started >= copy->checkpoint_seconds;
}

static int copy_all(struct copy *copy, struct error *err)
{
	while (copy->progress.position < copy->options->size) {
		if (copy_step(copy, err) < 0 || copy_wait(copy, 0, err) < 0)
			return -1;
		if (window_is_full(copy) && close_window(copy, err) < 0)
			return -1;
	}
	if (copy->current->to > copy->current->from && close_window(copy, err) < 0)
		return -1;
	return settle(copy, err);
}

static void fill_result(struct copy *copy, struct copy_result *result)
{
	struct copy_digest receipt = copy->chain;

	digest_finish(&receipt, copy->options->size);
	*result = (struct copy_result) {
		.copied = copy->progress.copied,
		.skipped = copy->progress.skipped,
		.seconds = clock_seconds() - copy->pace.started,
	};
	digest_to_text(&receipt, result->digest);
}

static int report(void *arg, struct error *err)
{
	struct copy *copy = arg;

	return pace_report(&copy->pace, &copy->progress, false, err);
}

int copy_run(const struct endpoint *source, const struct endpoint *target,
	const struct copy_options *options, struct copy_result *result,
	struct error *err)
{
	struct copy state = {
		.source = { .fd = -1, .direct = -1 },
		.target.side = { .fd = -1, .direct = -1 },
		.wake = -1,
	};
	AUTO(copy_clear) struct copy *copy = &state;
	const struct remote_wait wait = { .tick = report, .arg = copy };

	if (prepare_options(copy, options, err) < 0 ||
		fault_point("copy.start", err) < 0)
		return -1;
	copy->pace.wait = copy_wait;
	copy->pace.arg = copy;
	copy->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (copy->wake < 0)
		return error_set_errno(err, ERR_INTERNAL, "cannot make an eventfd");
	if (side_open(&copy->source, "source", source, false, err) < 0 ||
		target_open(&copy->target, target, &copy->source, options, &wait, err) <
			0)
		return -1;
	ahead_init(&copy->ahead, &copy->source, copy->wake);
	if (prepare_windows(copy, err) < 0 || copy_all(copy, err) < 0 ||
		pace_report(&copy->pace, &copy->progress, true, err) < 0)
		return -1;
	fill_result(copy, result);
	return 0;
}
