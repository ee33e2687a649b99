/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/work_fence.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/json.h"
#include "volume-manager/process.h"
#include "volume-manager/work.h"

struct fence {
	int64_t until_ms;
	bool gone; /* the manager has closed its end; the last word counts */
	char line[256];
	size_t used;
};

static void take_line(struct fence *fence, const char *line, size_t length)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	struct error err;
	int64_t until;

	if (json_parse(line, length, &o, &err) == 0 &&
		json_get_int(o, "lease_until_ms", 0, INT64_MAX, &until, &err) == 0)
		fence->until_ms = until;
}

static void listen_to_manager(struct fence *fence)
{
	ssize_t got = recv(WORK_FD, fence->line + fence->used,
		sizeof(fence->line) - fence->used, MSG_DONTWAIT);
	char *newline;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		fence->gone = true;
		return;
	}
	fence->used += (size_t)got;
	while ((newline = memchr(fence->line, '\n', fence->used))) {
		size_t length = (size_t)(newline - fence->line);

		take_line(fence, fence->line, length);
		fence->used -= length + 1;
		memmove(fence->line, newline + 1, fence->used);
	}
	/* Longer than anything the manager says. */
	if (fence->used == sizeof(fence->line))
		fence->used = 0;
}

static int wait_ms(const struct fence *fence)
{
	int64_t left = fence->until_ms - process_clock_ms();

	if (fence->until_ms == INT64_MAX)
		return -1;
	/* poll() does not count the time that the machine slept. */
	return left > 1000 ? 1000 : left > 0 ? (int)left : 0;
}

/* It must not wait for anything but the time: no log, no lock of the main thread's. */
static void *watch(void *unused)
{
	struct fence fence = { .until_ms = INT64_MAX };

	for (;;) {
		struct pollfd fd = { .fd = fence.gone ? -1 : WORK_FD,
			.events = POLLIN };

		if (poll(&fd, 1, wait_ms(&fence)) > 0)
			listen_to_manager(&fence);
		if (process_clock_ms() >= fence.until_ms)
			kill(getpid(), SIGKILL);
		if (fence.gone && fence.until_ms == INT64_MAX)
			return NULL;
	}
}

int fence_start(struct error *err)
{
	sigset_t all, before;
	pthread_t thread;
	int failed;

	/* SIGTERM is for the main thread: it may be in a call that it interrupts. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&thread, NULL, watch, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed) {
		errno = failed;
		return error_set_errno(err, ERR_INTERNAL, "cannot start a thread");
	}
	pthread_detach(thread);
	return 0;
}
