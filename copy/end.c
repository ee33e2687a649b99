/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/end.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "common/text.h"
#include "copy/remote.h"

#define TICK_SECONDS 0.25

int end_open(const char *role, const struct endpoint *endpoint,
	const struct end_options *options, struct end **out, struct error *err)
{
	return endpoint_is_remote(endpoint)
		? end_open_server(role, endpoint, options, out, err)
		: end_open_path(role, endpoint, options, out, err);
}

void end_close(struct end *end)
{
	if (end)
		end->ops->close(end);
}

static int wait_for_any(struct pollfd *fds, unsigned count, double seconds)
{
	double until = clock_seconds() + seconds;

	for (;;) {
		/* Rounded up, so that a wait shorter than 1 ms is no busy loop. */
		int found = poll(fds, count, (int)(seconds * 1e3 + 0.999));

		if (found >= 0 || errno != EINTR)
			return found;
		seconds = until - clock_seconds();
		seconds = seconds > 0 ? seconds : 0;
	}
}

int end_poll(
	struct end *end, struct end *other, int wake, double seconds, struct error *err)
{
	struct pollfd fds[2 * END_FDS + 1];
	unsigned mine = end->ops->prepare(end, fds);
	unsigned others = other ? other->ops->prepare(other, fds + mine) : 0;
	eventfd_t count;

	fds[mine + others] = (struct pollfd) { .fd = wake, .events = POLLIN };
	if (wait_for_any(fds, mine + others + 1, seconds) < 0)
		return error_set_errno(err, ERR_INTERNAL, "cannot wait for %s '%s'",
			end->role, end->name);
	if (fds[mine + others].revents)
		eventfd_read(wake, &count);
	if (end->ops->serve(end, fds, mine, err) < 0)
		return -1;
	return other ? other->ops->serve(other, fds + mine, others, err) : 0;
}

static int wait_for(struct end *end, const struct end_wait *wait, struct error *err)
{
	if (wait->tick && wait->tick(wait->arg, err) < 0)
		return -1;
	return end_poll(end, NULL, -1, TICK_SECONDS, err);
}

int end_fetch(struct end *end, void *buffer, uint64_t offset, size_t length,
	unsigned *pending, const struct end_wait *wait, struct error *err)
{
	unsigned char *to = buffer;

	for (size_t at = 0, part; at < length; at += part) {
		part = length - at;
		part = part < end->transfer_bytes ? part : end->transfer_bytes;
		while (!end->ops->has_room(end))
			if (wait_for(end, wait, err) < 0)
				return -1;
		if (end->ops->read(end, to + at, offset + at, part, pending, err) < 0)
			return -1;
	}
	while (*pending > 0)
		if (wait_for(end, wait, err) < 0)
			return -1;
	return 0;
}
