/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/target.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

#include "copy/digest.h"

#define DEADLINE_SECONDS 30.0

/* To clear is no work for a server, but what was cleared is read back by its host. */
#define CLEAR_CHEAPER 64

static int check_remote(const struct remote *remote, uint64_t size, struct error *err)
{
	if (size % remote->block)
		return error_set(err, ERR_NOT_SUPPORTED,
			"target '%s' takes blocks of %" PRIu64 " bytes only",
			remote->name, remote->block);
	return size_check(remote->role, remote->name, remote->size, size, err);
}

static int open_remote(struct target *target, const struct side *source,
	const struct copy_options *options, const struct remote_wait *wait,
	struct error *err)
{
	double deadline_s =
		options->deadline_s > 0 ? options->deadline_s : DEADLINE_SECONDS;

	if (source_check(source, options->size, err) < 0)
		return -1;
	if (!options->read_back)
		return error_set(err, ERR_INVALID_INPUT,
			"a target on another host needs its host to read back");
	if (remote_open("target", target->end, deadline_s, REMOTE_CONNECTIONS, wait,
		    &target->remote, err) < 0)
		return -1;
	if (target->remote->read_only)
		return error_set(err, ERR_IO, "target '%s' cannot be written",
			target->remote->name);
	target->write_bytes = target->remote->request_bytes;
	target->zero_bytes = REMOTE_ZERO_BYTES;
	if (!target->remote->can_zero) {
		target->zero_bytes = target->write_bytes;
		target->zeroes = calloc(1, target->write_bytes);
		if (!target->zeroes)
			return error_no_memory(err);
	}
	return check_remote(target->remote, options->size, err);
}

int target_open(struct target *target, const struct endpoint *end,
	const struct side *source, const struct copy_options *options,
	const struct remote_wait *wait, struct error *err)
{
	bool untouched =
		end->zero_when_new && options->target_is_new && options->start == 0;

	target->end = end;
	if (endpoint_is_remote(end)) {
		target->blank = untouched;
		return open_remote(target, source, options, wait, err);
	}
	target->write_bytes = CHUNK_SIZE;
	target->zero_bytes = UINT64_MAX;
	if (side_open(&target->side, "target", end, true, err) < 0 ||
		sides_check(source, &target->side, options->size, err) < 0)
		return -1;
	target->blank = untouched && !target->side.is_file;
	return 0;
}

void target_close(struct target *target)
{
	side_close(&target->side);
	if (target->remote)
		remote_close(steal(target->remote));
	free(steal(target->zeroes));
}

size_t target_buffers(const struct target *target)
{
	const struct remote *remote = target->remote;

	if (!remote)
		return 1;
	return remote->count * remote->depth * remote->request_bytes / CHUNK_SIZE + 2;
}

uint64_t target_clear_cost(const struct target *target, uint64_t length)
{
	return target->remote && target->remote->can_zero ? length / CLEAR_CHEAPER
							  : length;
}

int target_next_data(const struct target *target, uint64_t offset, uint64_t end,
	uint64_t *data, struct error *err)
{
	if (!target->remote)
		return side_next_data(&target->side, offset, end, data, err);
	*data = target->blank ? end : offset;
	return 0;
}

bool target_has_room(const struct target *target)
{
	return !target->remote || remote_has_room(target->remote);
}

int target_write(struct target *target, const void *buffer, uint64_t offset,
	size_t length, unsigned *a, unsigned *b, struct error *err)
{
	assert(length <= target->write_bytes);
	if (target->remote)
		return remote_write(target->remote, buffer, offset, length, a, b, err);
	return side_write(&target->side, buffer, offset, length, err);
}

int target_zero(struct target *target, uint64_t offset, uint64_t length, unsigned *a,
	struct error *err)
{
	assert(length <= target->zero_bytes);
	if (target->blank)
		return 0;
	if (!target->remote)
		return side_zero(&target->side, offset, length, err);
	if (target->remote->can_zero)
		return remote_zero(target->remote, offset, length, a, err);
	return remote_write(
		target->remote, target->zeroes, offset, (size_t)length, a, NULL, err);
}

int target_flush(struct target *target, uint64_t offset, unsigned *a, struct error *err)
{
	if (target->remote)
		return remote_flush(target->remote, offset, a, err);
	return side_flush(&target->side, err);
}

int target_poll(struct target *target, int wake, double seconds, struct error *err)
{
	struct pollfd fd = { .fd = wake, .events = POLLIN };

	if (target->remote)
		return remote_poll(target->remote, wake, seconds, err);
	if (seconds > 0 && poll(&fd, 1, (int)(seconds * 1e3 + 0.999)) < 0 &&
		errno != EINTR)
		return error_set_errno(err, ERR_INTERNAL, "cannot wait");
	return 0;
}
