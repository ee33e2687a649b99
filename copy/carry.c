/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/carry.h"

static int is_hole(void *arg, uint64_t from, uint64_t to, bool *out, struct error *err)
{
	const struct carry *carry = arg;
	uint64_t data = to;

	if (!carry->target_was_empty &&
		side_next_data(carry->target, from, to, &data, err) < 0)
		return -1;
	*out = data == to;
	return 0;
}

static int write_range(void *arg, const unsigned char *data, uint64_t offset,
	size_t length, struct error *err)
{
	struct carry *carry = arg;
	int done;

	carry->copied += length;
	if (carry->turn)
		pthread_mutex_lock(carry->turn);
	done = side_write(carry->target, data, offset, length, err);
	if (carry->turn)
		pthread_mutex_unlock(carry->turn);
	return done;
}

static int clear(void *arg, uint64_t offset, uint64_t length, struct error *err)
{
	struct carry *carry = arg;

	carry->skipped += length;
	return side_zero(carry->target, offset, length, err);
}

static int read_piece(
	const struct carry *carry, size_t from, size_t to, struct error *err)
{
	const struct slot *slot = carry->slot;

	return side_read(
		carry->source, slot->data + from, slot->offset + from, to - from, err);
}

static bool is_zero(const struct slot *slot, size_t from, size_t to)
{
	return chunk_is_zero(slot->data + from, to - from);
}

void carry_to_side(struct carry *carry, const struct end *target, pthread_mutex_t *turn)
{
	carry->target = target->side;
	carry->target_was_empty = target->was_empty;
	carry->turn = turn;
	carry->piece = CARRY_PIECE;
	carry->to = (struct slot_target) {
		.block = 1,
		.is_hole = is_hole,
		.write = write_range,
		.clear = clear,
		.arg = carry,
	};
}

/* The pieces of a part are written once they were read, from the first one on that has
 * data: a chunk of zeroes is not for us. written: up to where. */
static int carry_part(struct carry *carry, const struct part *part, size_t *written,
	struct error *err)
{
	struct slot *slot = carry->slot;
	size_t whole;

	for (size_t at = part->from, to; at < part->to; at = to) {
		to = part->to - at < carry->piece ? part->to : at + carry->piece;
		if (read_piece(carry, at, to, err) < 0)
			return -1;
		if (carry->zero && is_zero(slot, at, to))
			continue;
		carry->zero = false;
		/* Blocks that the next piece has a part of are written with it. */
		whole = to - to % carry->to.block;
		if (whole <= *written)
			continue;
		if (slot_write(slot, *written, whole, &carry->to, err) < 0)
			return -1;
		*written = whole;
	}
	return 0;
}

int carry_run(void *arg, struct error *err)
{
	struct carry *carry = arg;
	struct slot *slot = carry->slot;
	size_t written = 0;

	/* What was read already is written in one go: its runs of zeroes stay whole. */
	carry->zero = carry->source || slot_is_zero(slot);
	for (unsigned i = 0; carry->source && i < slot->part_count; i++)
		if (carry_part(carry, &slot->parts[i], &written, err) < 0)
			return -1;
	if (carry->zero)
		return 0;
	if (slot_write(slot, written, slot->length, &carry->to, err) < 0)
		return -1;
	carry->skipped += carry->to.skipped;
	if (carry->digested)
		slot_digest(slot, &carry->digest);
	return 0;
}
