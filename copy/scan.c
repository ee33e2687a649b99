/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/scan.h"

#include <stdlib.h>

#include "copy/side.h"
#include "copy/slot.h"

#define SLOTS 4 /* more brought nothing */

struct reading {
	struct scan *scan;
	struct slot *slot;
};

struct scan {
	struct end *end;
	const struct end_wait *wait;
	uint64_t next, to; /* reading began before next */
	struct slot slots[SLOTS];
	unsigned char *buffers; /* of the slots */
	struct copy_digest digests[SLOTS];
	struct reading readings[SLOTS];
	const struct side *side;
	unsigned first, used; /* of slots, in the order of their offsets */
};

static int pause_for_io(void *arg, struct error *err)
{
	struct scan *scan = arg;
	const struct end_wait *wait = scan->wait;

	if (wait->tick && wait->tick(wait->arg, err) < 0)
		return -1;
	return end_poll(scan->end, NULL, -1, 0.25, err);
}

static void digest_slot(struct scan *scan, const struct slot *slot)
{
	slot_digest(slot, &scan->digests[slot - scan->slots]);
}

/* In a thread, so that the bytes are in its processor's cache when they are looked at. */
static int read_slot(void *arg, struct error *err)
{
	const struct reading *reading = arg;
	struct slot *slot = reading->slot;

	for (unsigned i = 0; i < slot->part_count; i++) {
		const struct part *part = &slot->parts[i];

		if (side_read(reading->scan->side, slot->data + part->from,
			    slot->offset + part->from, part->to - part->from, err) < 0)
			return -1;
	}
	digest_slot(reading->scan, slot);
	return 0;
}

static int start_reading(struct scan *scan, struct slot *slot, uint64_t offset,
	size_t length, struct error *err)
{
	struct end *end = scan->end;
	struct reading *reading = &scan->readings[slot - scan->slots];

	if (!end->threads)
		return slot_read(slot, end, offset, length, pause_for_io, scan, err);
	*reading = (struct reading) { .scan = scan, .slot = slot };
	if (slot_begin(slot, end, offset, length, err) < 0)
		return -1;
	return end->ops->call(end, read_slot, reading, &slot->pending, err);
}

static int read_more(struct scan *scan, struct error *err)
{
	while (scan->next < scan->to && scan->used < SLOTS) {
		struct slot *slot = &scan->slots[(scan->first + scan->used) % SLOTS];
		struct end *end = scan->end;
		uint64_t data, hole, rest;

		if (end->ops->extent(end, scan->next, scan->to, &data, &hole, err) < 0)
			return -1;
		if (data >= scan->to) {
			scan->next = scan->to;
			break;
		}
		data -= data % CHUNK_SIZE;
		rest = scan->to - data;
		scan->used++;
		if (start_reading(scan, slot, data,
			    (size_t)(rest < CHUNK_SIZE ? rest : CHUNK_SIZE), err) < 0)
			return -1;
		scan->next = data + slot->length;
	}
	return 0;
}

void scan_free(struct scan *scan)
{
	if (scan)
		free(scan->buffers);
	free(scan);
}

struct scan *scan_new(void)
{
	AUTO(scan_free) struct scan *scan = calloc(1, sizeof(*scan));

	if (!scan || !(scan->buffers = side_buffers(SLOTS)))
		return NULL;
	for (unsigned i = 0; i < SLOTS; i++)
		scan->slots[i].data = scan->buffers + i * CHUNK_SIZE;
	return steal(scan);
}

int scan_run(struct scan *scan, struct end *end, uint64_t from, uint64_t to,
	const struct end_wait *wait, scan_chunk *on_chunk, void *arg, struct error *err)
{
	scan->end = end;
	scan->side = end->side;
	scan->wait = wait;
	scan->next = from;
	scan->to = to;
	for (;;) {
		struct slot *slot = &scan->slots[scan->first];

		if (read_more(scan, err) < 0)
			return -1;
		if (scan->used == 0)
			return 0;
		while (slot->pending > 0)
			if (pause_for_io(scan, err) < 0)
				return -1;
		/* Has the others sent too. */
		if (end_poll(end, NULL, -1, 0, err) < 0)
			return -1;
		if (!end->threads)
			digest_slot(scan, slot);
		if (on_chunk(arg, slot, &scan->digests[scan->first], err) < 0)
			return -1;
		scan->first = (scan->first + 1) % SLOTS;
		scan->used--;
	}
}
