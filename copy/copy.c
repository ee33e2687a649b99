/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/copy.h"

#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/auto.h"
#include "common/fault.h"
#include "common/text.h"
#include "copy/carry.h"
#include "copy/digest.h"
#include "copy/end.h"
#include "copy/end_writer.h"
#include "copy/lane.h"
#include "copy/pace.h"
#include "copy/side.h"
#include "copy/slot.h"
#include "copy/window.h"

#define CHECKPOINT_BYTES ((uint64_t)256 << 20)
#define CHECKPOINT_BYTES_MAX ((uint64_t)1 << 30)
#define CHECKPOINT_SECONDS 5.0
#define WAIT_SECONDS 0.25
#define LAST_BYTES ((uint64_t)32 << 20)
#define SLOTS 16
#define LANE_BUFFERS 2 /* beyond those that keep the server busy */
#define WINDOWS 2

/* To clear is no work for a server, but what was cleared is read back. */
#define CLEAR_CHEAPER 64

/* Where the window behind is on its way to a checkpoint. */
enum stage { STAGE_NONE, STAGE_WRITING, STAGE_FLUSHING, STAGE_CHECKING };

struct copy {
	const struct copy_options *options;
	uint64_t window_bytes; /* within bounds, a multiple of CHUNK_SIZE */
	double window_seconds;
	bool verified; /* what was written is read back */
	bool windowed; /* verified, or somebody wants checkpoints */
	struct end *source, *target;
	int wake; /* eventfd: the window behind was read back */
	uint64_t next; /* reading began before */
	struct slot slots[SLOTS];
	unsigned slot_count;
	unsigned char *buffers; /* of the slots */
	struct lane_job jobs[SLOTS]; /* of the slots */
	bool carried; /* chunks are read and written by threads, one by one */
	pthread_mutex_t turn; /* to write, while others read back */
	bool streamed; /* chunks are read in this thread */
	bool laned; /* the server takes enough connections for lanes */
	bool read_by_lanes; /* they are fast at that, too */
	struct lanes *lanes; /* from the first data on */
	unsigned given; /* of the queue, to lanes */
	struct slot *queue[SLOTS]; /* being read, in the order of their offsets */
	unsigned queued;
	struct check check;
	struct window windows[WINDOWS];
	struct window *current; /* being copied */
	struct window *behind; /* being made a checkpoint meanwhile */
	enum stage stage; /* of the window behind */
	double window_started;
	struct copy_digest chain; /* up to progress.verified */
	struct copy_progress progress;
	struct pace pace;
};

/* Nothing was written to the target. */
static bool is_blank(const struct copy_options *options)
{
	return options->target_is_new && options->start == 0;
}

static int prepare_options(
	struct copy *copy, const struct copy_options *options, struct error *err)
{
	uint64_t bytes = options->checkpoint_bytes;

	copy->verified = options->verify == COPY_VERIFY_READBACK;
	copy->windowed = copy->verified || options->on_checkpoint;
	if (options->start > options->size ||
		(options->start % CHUNK_SIZE != 0 && options->start != options->size))
		return error_set(err, ERR_INVALID_INPUT,
			"%" PRIu64 " is not a checkpoint of this copy", options->start);
	if (copy->verified && options->start > 0 &&
		!digest_from_text(options->chain_start, &copy->chain))
		return error_set(err, ERR_INVALID_INPUT,
			"checkpoint %" PRIu64 " comes without its digest",
			options->start);
	bytes = bytes ? bytes : CHECKPOINT_BYTES;
	bytes = bytes < CHECKPOINT_BYTES_MAX ? bytes : CHECKPOINT_BYTES_MAX;
	/* Two windows at a time are not checkpoints yet, and together they are the most
	 * that is copied again. */
	bytes = bytes / WINDOWS;
	copy->window_bytes = (bytes + CHUNK_SIZE - 1) / CHUNK_SIZE * CHUNK_SIZE;
	copy->window_seconds = options->checkpoint_seconds > 0
		? options->checkpoint_seconds
		: CHECKPOINT_SECONDS;
	copy->window_seconds /= WINDOWS;
	copy->options = options;
	copy->progress.total = options->size;
	copy->next = options->start;
	copy->progress.position = copy->progress.verified = options->start;
	pace_init(&copy->pace, options);
	return 0;
}

static int prepare_windows(struct copy *copy, struct error *err)
{
	size_t room = copy->verified ? (size_t)(copy->window_bytes / CHUNK_SIZE) : 0;

	copy->check.target_name = copy->target->name;
	copy->check.by_host = !copy->target->side && copy->options->read_back;
	copy->check.wake = copy->wake;
	if (copy->target->only_connection && !copy->check.by_host)
		copy->check.shared = copy->target;
	for (size_t i = 0; i < ARRAY_SIZE(copy->windows); i++)
		if (window_init(&copy->windows[i], room, &copy->check, err) < 0)
			return -1;
	copy->current = &copy->windows[0];
	copy->behind = &copy->windows[1];
	window_reset(copy->current, copy->options->start);
	copy->window_started = clock_seconds();
	return 0;
}

/* The ends go first: they borrow the buffers. And the source goes before the target, which
 * its threads may be writing to. */
static void copy_clear(struct copy *copy)
{
	const struct copy_options *options = copy->options;

	if (copy->stage == STAGE_CHECKING && copy->check.by_host &&
		options->read_back_stop)
		options->read_back_stop(options->arg);
	for (size_t i = 0; i < ARRAY_SIZE(copy->windows); i++)
		window_clear(&copy->windows[i]);
	lanes_close(copy->lanes);
	end_close(copy->source);
	end_close(copy->target);
	end_close(copy->check.end);
	scan_free(copy->check.scan);
	free(copy->buffers);
	if (copy->wake >= 0)
		close(copy->wake);
}
DEFINE_AUTO(struct copy *, copy_clear)

/* The window behind is as good as it gets: make it the checkpoint. */
static int take_checkpoint(struct copy *copy, struct error *err)
{
	const struct copy_options *options = copy->options;
	char text[DIGEST_TEXT_SIZE] = "";

	if (fault_point("copy.checkpoint", err) < 0)
		return -1;
	window_chain(copy->behind, &copy->chain);
	copy->progress.verified = copy->behind->to;
	if (copy->verified)
		digest_to_text(&copy->chain, text);
	if (!options->on_checkpoint)
		return 0;
	return options->on_checkpoint(options->arg, copy->behind->to, text, err);
}

static int begin_check(struct copy *copy, struct error *err)
{
	if (fault_point("copy.flushed", err) < 0)
		return -1;
	if (!copy->verified) {
		copy->stage = STAGE_NONE;
		return take_checkpoint(copy, err);
	}
	if (copy->check.shared) {
		copy->stage = STAGE_NONE;
		return window_check_now(copy->behind, err) < 0
			? -1
			: take_checkpoint(copy, err);
	}
	if (window_check_start(copy->behind, err) < 0)
		return -1;
	copy->stage = STAGE_CHECKING;
	return 0;
}

/* Take the window behind as far as it goes without waiting. What is flushed was answered
 * before, so requests of the current window may be under way. */
static int advance_behind(struct copy *copy, struct error *err)
{
	struct window *window = copy->behind;
	struct end *target = copy->target;
	int done;

	if (copy->stage == STAGE_WRITING && window->pending == 0) {
		if (fault_point("copy.written", err) < 0 ||
			target->ops->flush(
				target, window->from, &window->pending, err) < 0)
			return -1;
		copy->stage = STAGE_FLUSHING;
	}
	if (copy->stage == STAGE_FLUSHING && window->pending == 0 &&
		begin_check(copy, err) < 0)
		return -1;
	if (copy->stage != STAGE_CHECKING)
		return 0;
	done = window_check_done(window, err);
	if (done == 0)
		return 0;
	copy->stage = STAGE_NONE;
	return done < 0 ? -1 : take_checkpoint(copy, err);
}

/* Towards the end of a copy to another host the windows become smaller: reading back the
 * last one is all that is left to wait for. */
static uint64_t bytes_of_window(const struct copy *copy)
{
	uint64_t rest = copy->options->size - copy->current->from;

	if (!copy->check.by_host || rest / 2 >= copy->window_bytes)
		return copy->window_bytes;
	return rest / 2 > LAST_BYTES ? rest / 2 : LAST_BYTES;
}

static int give_one(struct copy *copy, struct slot *slot, struct error *err)
{
	struct lane_job *job = &copy->jobs[slot - copy->slots];

	job->carry = (struct carry) {
		.slot = slot,
		.source = copy->read_by_lanes ? copy->source->side : NULL,
		.digested = copy->verified,
	};
	if (lanes_start(copy->lanes, job, &slot->pending, err) < 0)
		return -1;
	copy->given++;
	return 0;
}

/* What they write belongs to the current window, or will: no more than two windows are ever
 * written and no checkpoint. */
static bool may_give(const struct copy *copy)
{
	return !copy->windowed ||
		copy->current->work + copy->given * CHUNK_SIZE < bytes_of_window(copy);
}

/* What was read is for the lanes, in its order. */
static int give(struct copy *copy, struct error *err)
{
	while (copy->given < copy->queued && copy->queue[copy->given]->pending == 0 &&
		may_give(copy))
		if (give_one(copy, copy->queue[copy->given], err) < 0)
			return -1;
	return 0;
}

/* Let what is under way go on, for at most seconds, and tell of it. */
static int copy_wait(void *arg, double seconds, struct error *err)
{
	struct copy *copy = arg;

	if (end_poll(copy->target, copy->source, copy->wake, seconds, err) < 0)
		return -1;
	if (copy->lanes && (lanes_serve(copy->lanes, err) < 0 || give(copy, err) < 0))
		return -1;
	if (advance_behind(copy, err) < 0)
		return -1;
	return pace_report(&copy->pace, &copy->progress, false, err);
}

static int wait_a_bit(void *copy, struct error *err)
{
	return copy_wait(copy, WAIT_SECONDS, err);
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

/* All before to was copied. */
static int advance(struct copy *copy, uint64_t to, struct error *err)
{
	const struct window *window = copy->current;

	copy->progress.position = copy->current->to = to;
	if (!copy->windowed)
		return 0;
	if (window->work < bytes_of_window(copy) &&
		(window->used < window->room || !copy->verified) &&
		clock_seconds() - copy->window_started < copy->window_seconds)
		return 0;
	return close_window(copy, err);
}

static int report(void *arg, struct error *err)
{
	struct copy *copy = arg;

	return pace_report(&copy->pace, &copy->progress, false, err);
}

/* slot may be NULL where only zeroes are written. */
static struct end_writer writer_of(struct copy *copy, struct slot *slot)
{
	return (struct end_writer) {
		.end = copy->target,
		.wait = wait_a_bit,
		.tick = report,
		.arg = copy,
		.buffer = slot ? &slot->pending : NULL,
		.all = &copy->current->pending,
		.copied = &copy->progress.copied,
		.skipped = &copy->progress.skipped,
	};
}

static int write_slot(struct copy *copy, struct slot *slot, struct error *err)
{
	struct end_writer writer = writer_of(copy, slot);
	struct slot_target to = end_writer_target(&writer);

	if (slot_write(slot, 0, slot->length, &to, err) < 0)
		return -1;
	copy->progress.skipped += to.skipped;
	return 0;
}

/* The source has only zeroes up to until. One step goes as far as the target is a hole
 * already, which costs nothing; else as far as one window's clearing and reading back. */
static int copy_zeroes(struct copy *copy, uint64_t until, struct error *err)
{
	struct end *target = copy->target;
	uint64_t position = copy->progress.position;
	uint64_t room = copy->window_bytes;
	uint64_t stale, hole, length;
	struct end_writer writer = writer_of(copy, NULL);

	if (target->ops->extent(target, position, until, &stale, &hole, err) < 0)
		return -1;
	if (stale < until)
		stale -= stale % CHUNK_SIZE;
	if (stale > position) {
		copy->progress.skipped += stale - position;
		return advance(copy, stale, err);
	}
	length = until - position < room ? until - position : room;
	if (end_writer_clear(&writer, position, length, err) < 0)
		return -1;
	copy->current->work += target->clears_cheaply ? length / CLEAR_CHEAPER : length;
	return advance(copy, position + length, err);
}

static int copy_all_zeroes(struct copy *copy, uint64_t until, struct error *err)
{
	while (copy->progress.position < until)
		if (copy_zeroes(copy, until, err) < 0 || copy_wait(copy, 0, err) < 0)
			return -1;
	return 0;
}

/* A chunk that was carried is written already, and its thread has looked at it. */
static int copy_slot(struct copy *copy, struct slot *slot, struct error *err)
{
	const struct carry *carry = copy->carried || copy->lanes
		? &copy->jobs[slot - copy->slots].carry
		: NULL;
	const uint64_t end = slot->offset + slot->length;
	struct copy_digest digest;

	if (carry ? carry->zero : slot_is_zero(slot))
		return copy_all_zeroes(copy, end, err);
	if (copy_all_zeroes(copy, slot->offset, err) < 0 ||
		fault_point("copy.chunk", err) < 0)
		return -1;
	if (copy->verified) {
		if (!carry)
			slot_digest(slot, &digest);
		window_add(copy->current, slot->offset, slot->length,
			carry ? &carry->digest : &digest);
	}
	if (carry) {
		copy->progress.copied += carry->copied;
		copy->progress.skipped += carry->skipped;
	} else if (write_slot(copy, slot, err) < 0) {
		return -1;
	}
	copy->current->work += CHUNK_SIZE;
	return advance(copy, end, err);
}

/* From memory to a server: each piece is sent as soon as it was read. */
static int stream_slot(struct copy *copy, struct slot *slot, uint64_t offset,
	size_t length, struct error *err)
{
	struct end_writer writer = writer_of(copy, slot);
	struct carry carry = {
		.slot = slot,
		.source = copy->source->side,
		.to = end_writer_target(&writer),
		.piece = CARRY_PIECE,
		.digested = copy->verified,
	};

	if (copy_all_zeroes(copy, offset, err) < 0 ||
		fault_point("copy.chunk", err) < 0 ||
		slot_begin(slot, copy->source, offset, length, err) < 0 ||
		carry_run(&carry, err) < 0)
		return -1;
	if (carry.zero)
		return copy_all_zeroes(copy, offset + length, err);
	copy->progress.skipped += carry.skipped;
	if (copy->verified)
		window_add(copy->current, offset, length, &carry.digest);
	copy->current->work += CHUNK_SIZE;
	return advance(copy, offset + length, err);
}

static struct slot *free_slot(struct copy *copy)
{
	for (unsigned i = 0; i < copy->slot_count; i++) {
		struct slot *slot = &copy->slots[i];

		if (slot->busy && slot->pending == 0) {
			bool queued = false;

			for (unsigned j = 0; j < copy->queued; j++)
				queued = queued || copy->queue[j] == slot;
			slot->busy = queued;
		}
		if (!slot->busy)
			return slot;
	}
	return NULL;
}

static int carry_slot(struct copy *copy, struct slot *slot, uint64_t offset,
	size_t length, struct error *err)
{
	struct end *source = copy->source;
	struct carry *carry = &copy->jobs[slot - copy->slots].carry;

	*carry = (struct carry) {
		.slot = slot,
		.source = source->side,
		.digested = copy->verified,
	};
	carry_to_side(carry, copy->target, copy->verified ? &copy->turn : NULL);
	if (slot_begin(slot, source, offset, length, err) < 0)
		return -1;
	return source->ops->call(source, carry_run, carry, &slot->pending, err);
}

/* A server that has no room for more connections has said so: it will do without. */
static int open_lanes(struct copy *copy, struct error *err)
{
	const struct copy_options *options = copy->options;
	const struct end_options how = {
		.writable = true,
		.blank = is_blank(options),
		.deadline_s = options->deadline_s,
		.wait = { .tick = report, .arg = copy },
	};
	struct error error = { 0 };

	if (lanes_open(copy->check.target, &how, copy->wake, &copy->lanes, &error) == 0)
		return 0;
	copy->laned = false;
	if (error.code == ERR_LOST)
		return 0;
	if (err)
		*err = error;
	return -1;
}

static int begin_to_read(struct copy *copy, struct slot *slot, uint64_t offset,
	size_t length, struct error *err)
{
	if (copy->carried)
		return carry_slot(copy, slot, offset, length, err);
	if (copy->lanes && copy->read_by_lanes)
		return slot_begin(slot, copy->source, offset, length, err);
	return slot_read(slot, copy->source, offset, length, wait_a_bit, copy, err);
}

/* Begin to read the next chunk that may hold data, if there is one. */
static int read_next(struct copy *copy, struct slot *slot, struct error *err)
{
	struct end *source = copy->source;
	const uint64_t size = copy->options->size;
	uint64_t data, hole;
	size_t length;

	if (source->ops->extent(source, copy->next, size, &data, &hole, err) < 0)
		return -1;
	if (data >= size) {
		copy->next = size;
		return 0;
	}
	data -= data % CHUNK_SIZE;
	length = (size_t)(size - data < CHUNK_SIZE ? size - data : CHUNK_SIZE);
	if (pace_wait(&copy->pace, &copy->progress, length, err) < 0)
		return -1;
	copy->next = data + length;
	if (copy->laned && !copy->lanes && open_lanes(copy, err) < 0)
		return -1;
	if (copy->streamed && !copy->lanes)
		return stream_slot(copy, slot, data, length, err);
	if (begin_to_read(copy, slot, data, length, err) < 0)
		return -1;
	copy->queue[copy->queued++] = slot;
	return copy->lanes ? give(copy, err) : 0;
}

static int read_ahead(struct copy *copy, struct error *err)
{
	struct slot *slot;

	while (copy->next < copy->options->size &&
		(copy->queued == 0 || pace_is_due(&copy->pace)) &&
		(slot = free_slot(copy)))
		if (read_next(copy, slot, err) < 0)
			return -1;
	return 0;
}

static int take_first(struct copy *copy, struct error *err)
{
	struct slot *slot = copy->queue[0];

	if (copy->lanes && give(copy, err) < 0)
		return -1;
	while (slot->pending > 0 || (copy->lanes && copy->given == 0))
		if (copy_wait(copy, WAIT_SECONDS, err) < 0 || read_ahead(copy, err) < 0)
			return -1;
	if (copy_slot(copy, slot, err) < 0)
		return -1;
	copy->queued--;
	copy->given -= copy->lanes ? 1 : 0;
	memmove(copy->queue, copy->queue + 1, copy->queued * sizeof(copy->queue[0]));
	return 0;
}

/* Flush, or wait for the last checkpoint. */
static int finish(struct copy *copy, struct error *err)
{
	struct end *target = copy->target;
	struct window *window = copy->current;

	if (copy->windowed) {
		if (window->to > window->from && close_window(copy, err) < 0)
			return -1;
		return settle(copy, err);
	}
	while (window->pending > 0)
		if (copy_wait(copy, WAIT_SECONDS, err) < 0)
			return -1;
	if (fault_point("copy.written", err) < 0 ||
		target->ops->flush(target, 0, &window->pending, err) < 0)
		return -1;
	while (window->pending > 0)
		if (copy_wait(copy, WAIT_SECONDS, err) < 0)
			return -1;
	copy->progress.verified = copy->progress.position;
	return 0;
}

static int copy_all(struct copy *copy, struct error *err)
{
	for (;;) {
		if (read_ahead(copy, err) < 0)
			return -1;
		if (copy->queued > 0) {
			/* Has what was started sent, too. */
			if (copy_wait(copy, 0, err) < 0 || take_first(copy, err) < 0)
				return -1;
		} else if (copy->next == copy->options->size) {
			break;
		} else if (copy_wait(copy, WAIT_SECONDS, err) < 0) {
			return -1;
		}
	}
	if (copy_all_zeroes(copy, copy->options->size, err) < 0)
		return -1;
	return finish(copy, err);
}

static void fill_result(struct copy *copy, struct copy_result *result)
{
	struct copy_digest receipt = copy->chain;

	*result = (struct copy_result) {
		.copied = copy->progress.copied,
		.skipped = copy->progress.skipped,
		.seconds = clock_seconds() - copy->pace.started,
	};
	if (!copy->verified)
		return;
	result->verified =
		copy->check.by_host ? COPY_VERIFIED_STORAGE : copy->target->read_back;
	digest_finish(&receipt, copy->options->size);
	digest_to_text(&receipt, result->digest);
}

static int check_end(const struct end *end, uint64_t size, struct error *err)
{
	if (size % end->block)
		return error_set(err, ERR_NOT_SUPPORTED,
			"%s '%s' takes blocks of %" PRIu64 " bytes only, and %" PRIu64
			" is no multiple of it",
			end->role, end->name, end->block, size);
	return size_check(end->role, end->name, end->size, size, err);
}

static int check_ends(struct copy *copy, struct error *err)
{
	const struct side *source = copy->source->side, *target = copy->target->side;
	const uint64_t size = copy->options->size;

	if (source && target && sides_check(source, target, size, err) < 0)
		return -1;
	if (source && source_check(source, size, err) < 0)
		return -1;
	return check_end(copy->source, size, err) < 0 ||
			check_end(copy->target, size, err) < 0
		? -1
		: 0;
}

static int open_ends(struct copy *copy, const struct endpoint *source,
	const struct endpoint *target, struct error *err)
{
	const struct copy_options *options = copy->options;
	struct end_options how = {
		.deadline_s = options->deadline_s,
		.wait = { .tick = report, .arg = copy },
	};
	unsigned buffers;

	if (end_open("source", source, &how, &copy->source, err) < 0)
		return -1;
	how.writable = true;
	how.blank = is_blank(options);
	if (end_open("target", target, &how, &copy->target, err) < 0 ||
		check_ends(copy, err) < 0)
		return -1;
	copy->check.source = source;
	copy->check.target = target;
	copy->check.options = options;
	buffers = copy->source->buffers < copy->target->buffers ? copy->source->buffers
								: copy->target->buffers;
	copy->laned = !copy->target->side && !copy->target->only_connection;
	if (copy->laned)
		buffers = copy->target->buffers + LANE_BUFFERS;
	copy->slot_count = buffers < SLOTS ? buffers : SLOTS;
	copy->buffers = side_buffers(copy->slot_count);
	if (!copy->buffers)
		return error_no_memory(err);
	for (unsigned i = 0; i < copy->slot_count; i++)
		copy->slots[i].data = copy->buffers + i * CHUNK_SIZE;
	copy->carried = copy->source->threads && copy->target->threads;
	copy->streamed = copy->source->in_memory && !copy->target->side;
	copy->read_by_lanes = copy->source->side &&
		(copy->source->in_memory || copy->source->side->direct < 0);
	return 0;
}

/* How far it came, unless the caller has lost interest. */
static void tell_the_last(struct copy *copy, const struct error *why)
{
	struct error ignored;

	if (why && (why->code == ERR_CANCELLED || why->code == ERR_FENCED))
		return;
	pace_report(&copy->pace, &copy->progress, true, &ignored);
}

int copy_run(const struct endpoint *source, const struct endpoint *target,
	const struct copy_options *options, struct copy_result *result,
	struct error *err)
{
	struct copy state = { .wake = -1, .turn = PTHREAD_MUTEX_INITIALIZER };
	AUTO(copy_clear) struct copy *copy = &state;

	if (prepare_options(copy, options, err) < 0 ||
		fault_point("copy.start", err) < 0)
		return -1;
	copy->pace.wait = copy_wait;
	copy->pace.arg = copy;
	copy->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (copy->wake < 0)
		return error_set_errno(err, ERR_INTERNAL, "cannot make an eventfd");
	if (open_ends(copy, source, target, err) < 0 ||
		prepare_windows(copy, err) < 0 || copy_all(copy, err) < 0) {
		tell_the_last(copy, err);
		return -1;
	}
	if (pace_report(&copy->pace, &copy->progress, true, err) < 0)
		return -1;
	fill_result(copy, result);
	return 0;
}
