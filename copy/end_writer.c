/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/end_writer.h"

static int await_room(const struct end_writer *writer, struct error *err)
{
	while (!writer->end->ops->has_room(writer->end))
		if (writer->wait(writer->arg, err) < 0)
			return -1;
	return 0;
}

int end_writer_clear(
	struct end_writer *writer, uint64_t offset, uint64_t length, struct error *err)
{
	struct end *end = writer->end;
	unsigned *pending = writer->all ? writer->all : writer->buffer;

	*writer->skipped += length;
	while (length > 0) {
		uint64_t part = length < end->zero_bytes ? length : end->zero_bytes;

		if (await_room(writer, err) < 0 ||
			end->ops->zero(end, offset, part, pending, err) < 0 ||
			writer->tick(writer->arg, err) < 0)
			return -1;
		offset += part;
		length -= part;
	}
	return 0;
}

static int clear(void *arg, uint64_t offset, uint64_t length, struct error *err)
{
	return end_writer_clear(arg, offset, length, err);
}

static int write_range(void *arg, const unsigned char *data, uint64_t offset,
	size_t length, struct error *err)
{
	const struct end_writer *writer = arg;
	struct end *end = writer->end;

	*writer->copied += length;
	for (size_t at = 0, part; at < length; at += part) {
		part = length - at;
		part = part < end->transfer_bytes ? part : end->transfer_bytes;
		if (await_room(writer, err) < 0 ||
			end->ops->write(end, data + at, offset + at, part,
				writer->buffer, writer->all, err) < 0)
			return -1;
	}
	return 0;
}

static int is_hole(void *arg, uint64_t from, uint64_t to, bool *out, struct error *err)
{
	const struct end_writer *writer = arg;
	uint64_t data, hole;

	if (writer->end->ops->extent(writer->end, from, to, &data, &hole, err) < 0)
		return -1;
	*out = data >= to;
	return 0;
}

struct slot_target end_writer_target(struct end_writer *writer)
{
	return (struct slot_target) {
		.block = writer->end->block,
		.is_hole = is_hole,
		.write = write_range,
		.clear = clear,
		.arg = writer,
	};
}
