/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/slot.h"

#include <string.h>

#include "copy/side.h"

_Static_assert(END_ALIGNMENT == DIGEST_BLOCK, "parts are of whole blocks");

/* As extents have it; too many small ones become one. */
static int find_parts(struct slot *slot, struct end *source, struct error *err)
{
	const uint64_t end = slot->offset + slot->length;
	const size_t block =
		source->block > END_ALIGNMENT ? (size_t)source->block : END_ALIGNMENT;
	uint64_t at = slot->offset, data, hole;

	slot->part_count = 0;
	while (at < end) {
		struct part *last = slot->part_count > 0
			? &slot->parts[slot->part_count - 1]
			: NULL;
		size_t from, to;

		if (source->ops->extent(source, at, end, &data, &hole, err) < 0)
			return -1;
		if (data >= end)
			break;
		at = hole > data ? hole : end;
		from = (size_t)(data - slot->offset);
		from -= from % block;
		to = (size_t)(at - slot->offset);
		to += (block - to % block) % block;
		to = to < slot->length ? to : slot->length;
		if (last && (from <= last->to || slot->part_count == SLOT_PARTS))
			last->to = to;
		else
			slot->parts[slot->part_count++] =
				(struct part) { .from = from, .to = to };
	}
	return 0;
}

void slot_fill(struct slot *slot)
{
	size_t at = 0;

	for (unsigned i = 0; i < slot->part_count; i++) {
		memset(slot->data + at, 0, slot->parts[i].from - at);
		at = slot->parts[i].to;
	}
	memset(slot->data + at, 0, slot->length - at);
}

static int read_part(struct slot *slot, struct end *source, const struct part *part,
	slot_wait *wait, void *arg, struct error *err)
{
	for (size_t at = part->from, length; at < part->to; at += length) {
		length = part->to - at;
		length = length < source->transfer_bytes ? length
							 : source->transfer_bytes;
		while (!source->ops->has_room(source))
			if (wait(arg, err) < 0)
				return -1;
		if (source->ops->read(source, slot->data + at, slot->offset + at,
			    length, &slot->pending, err) < 0)
			return -1;
	}
	return 0;
}

int slot_begin(struct slot *slot, struct end *source, uint64_t offset, size_t length,
	struct error *err)
{
	slot->busy = true;
	slot->offset = offset;
	slot->length = length;
	return find_parts(slot, source, err);
}

int slot_read(struct slot *slot, struct end *source, uint64_t offset, size_t length,
	slot_wait *wait, void *arg, struct error *err)
{
	if (slot_begin(slot, source, offset, length, err) < 0)
		return -1;
	for (unsigned i = 0; i < slot->part_count; i++)
		if (read_part(slot, source, &slot->parts[i], wait, arg, err) < 0)
			return -1;
	return 0;
}

void slot_digest(const struct slot *slot, struct copy_digest *out)
{
	digest_parts(slot->data, slot->parts, slot->part_count, out);
}

bool slot_is_zero(const struct slot *slot)
{
	for (unsigned i = 0; i < slot->part_count; i++) {
		const struct part *part = &slot->parts[i];

		if (!chunk_is_zero(slot->data + part->from, part->to - part->from))
			return false;
	}
	return true;
}

static bool block_is_zero(const struct slot *slot, size_t at, size_t end)
{
	size_t rest = end - at;

	return grain_is_zero(
		slot->data + at, rest < END_ALIGNMENT ? rest : END_ALIGNMENT);
}

/* The end of the gap between parts that from is in, or *part, which it is in. */
static size_t gap_at(
	const struct slot *slot, size_t from, size_t end, const struct part **part)
{
	for (unsigned i = 0; i < slot->part_count; i++) {
		*part = &slot->parts[i];
		if (from < (*part)->from)
			return (*part)->from < end ? (*part)->from : end;
		if (from < (*part)->to)
			return from;
	}
	return end;
}

/* The run of blocks that are all zeroes, or all not. What was not read is not looked at. */
static struct part run_at(
	const struct slot *slot, size_t from, size_t end, bool *zero, bool *unread)
{
	const struct part *part = NULL;
	size_t at = gap_at(slot, from, end, &part);

	*zero = *unread = at > from;
	if (*unread)
		return (struct part) { .from = from, .to = at };
	end = part->to < end ? part->to : end;
	*zero = block_is_zero(slot, at, end);
	do
		at += END_ALIGNMENT;
	while (at < end && block_is_zero(slot, at, end) == *zero);
	return (struct part) { .from = from, .to = at < end ? at : end };
}

enum fate { FATE_WRITE, FATE_SKIP, FATE_CLEAR };

static int fate_of(const struct slot *slot, const struct part *zeroes,
	const struct slot_target *target, enum fate *out, struct error *err)
{
	const uint64_t from = slot->offset + zeroes->from;
	const uint64_t to = slot->offset + zeroes->to;
	bool hole;

	*out = FATE_WRITE;
	if (from % target->block != 0 || to % target->block != 0)
		return 0;
	if (target->is_hole(target->arg, from, to, &hole, err) < 0)
		return -1;
	if (hole)
		*out = FATE_SKIP;
	else if (to - from >= GRAIN_SIZE)
		*out = FATE_CLEAR;
	return 0;
}

static int write_range(const struct slot *slot, const struct part *range,
	const struct slot_target *target, struct error *err)
{
	if (range->to == range->from)
		return 0;
	return target->write(target->arg, slot->data + range->from,
		slot->offset + range->from, range->to - range->from, err);
}

int slot_write(struct slot *slot, size_t from, size_t to, struct slot_target *target,
	struct error *err)
{
	struct part range = { from, from }, run;
	enum fate fate;
	bool zero, unread;

	for (size_t at = from; at < to; at = run.to) {
		run = run_at(slot, at, to, &zero, &unread);
		fate = FATE_WRITE;
		if (zero && fate_of(slot, &run, target, &fate, err) < 0)
			return -1;
		if (fate == FATE_WRITE) {
			if (unread)
				memset(slot->data + run.from, 0, run.to - run.from);
			range.to = run.to;
			continue;
		}
		if (write_range(slot, &range, target, err) < 0)
			return -1;
		if (fate == FATE_CLEAR &&
			target->clear(target->arg, slot->offset + run.from,
				run.to - run.from, err) < 0)
			return -1;
		if (fate == FATE_SKIP)
			target->skipped += run.to - run.from;
		range = (struct part) { .from = run.to, .to = run.to };
	}
	return write_range(slot, &range, target, err);
}
