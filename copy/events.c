/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/events.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/text.h"
#include "copy/bar.h"

#define EVERY_SECONDS 0.5
#define LAST_WAIT_SECONDS 1.0

void events_open(struct events *events, int fd)
{
	*events = (struct events) { .fd = fd };
}

static bool is_writable(const struct events *events, double wait_s)
{
	struct pollfd fd = { .fd = events->fd, .events = POLLOUT };

	return poll(&fd, 1, (int)(wait_s * 1e3)) > 0;
}

/* A pipe that poll(2) calls writable takes PIPE_BUF bytes at once, and of a socket nothing
 * more is asked than it takes: no write blocks. The descriptor may be shared, so it is not
 * made non-blocking. */
static ssize_t put(const struct events *events, const char *text, size_t size)
{
	ssize_t done = send(events->fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (done < 0 && errno == ENOTSOCK)
		done = write(events->fd, text, size);
	return done;
}

/* As much of what is left as the reader takes. */
static void flush(struct events *events, double wait_s)
{
	ssize_t done;

	if (events->fd < 0 || events->left_size == 0 || !is_writable(events, wait_s))
		return;
	done = put(events, events->left, events->left_size);
	if (done < 0 && errno != EAGAIN && errno != EINTR)
		events->fd = -1;
	if (done <= 0)
		return;
	events->left_size -= (size_t)done;
	memmove(events->left, events->left + done, events->left_size);
}

/* object is taken over. Left out when the line before it is not out. */
static void send_line(struct events *events, struct json_object *object, double wait_s)
{
	AUTO(json_object_put) struct json_object *owned = object;
	AUTO(free) char *text = json_text(owned);
	double until = clock_seconds() + wait_s;

	flush(events, wait_s);
	if (events->fd < 0 || !text || strlen(text) >= sizeof(events->left))
		return;
	if (events->left_size > 0)
		return;
	events->left_size = strlen(text) + 1;
	memcpy(events->left, text, events->left_size - 1);
	events->left[events->left_size - 1] = '\n';
	do
		flush(events, wait_s);
	while (events->fd >= 0 && events->left_size > 0 && clock_seconds() < until);
}

void events_progress(struct events *events, const struct copy_progress *progress)
{
	struct json_object *o;
	double left = bar_seconds_left(progress);
	double now = clock_seconds();

	if (events->fd < 0 || now < events->next)
		return;
	events->next = now + EVERY_SECONDS;
	o = json_object_new_object();
	json_add_string(o, "event", "progress");
	json_add_int(o, "total", (int64_t)progress->total);
	json_add_int(o, "position", (int64_t)progress->position);
	json_add_int(o, "verified", (int64_t)progress->verified);
	json_add_int(o, "copied", (int64_t)progress->copied);
	json_add_int(o, "skipped", (int64_t)progress->skipped);
	json_add_int(o, "rate", (int64_t)progress->rate);
	if (left < 0)
		json_add(o, "eta_seconds", NULL);
	else
		json_add_double(o, "eta_seconds", left);
	send_line(events, o, 0);
}

void events_end(struct events *events, struct json_object *line)
{
	send_line(events, line, LAST_WAIT_SECONDS);
	events->fd = -1;
}
