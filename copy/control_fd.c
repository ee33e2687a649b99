/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/control_fd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/text.h"

struct control_fd {
	int fd;
	int stop; /* eventfd: readable when the thread shall end */
	pthread_t thread;
	struct copy_control *control;
	void (*on_order)(void *arg, const struct error *wrong);
	void *arg;
	char line[CONTROL_LINE_MAX + 1];
	size_t length; /* more than CONTROL_LINE_MAX: the rest is skipped */
};

int control_line(const char *line, struct copy_control *control, struct error *err)
{
	if (strcmp(line, "pause") == 0)
		atomic_store(&control->paused, true);
	else if (strcmp(line, "continue") == 0)
		atomic_store(&control->paused, false);
	else if (strcmp(line, "cancel") == 0)
		atomic_store(&control->cancelled, true);
	else if (strncmp(line, "rate ", 5) == 0) {
		uint64_t rate;

		if (text_to_bytes(line + 5, &rate, err) < 0)
			return -1;
		atomic_store(&control->rate_limit, rate);
	} else
		return error_set(err, ERR_USAGE,
			"'%.60s' is not one of: rate BYTES, pause, continue, cancel",
			line);
	return 0;
}

static void end_line(struct control_fd *control_fd)
{
	struct error err;
	int failed;

	if (control_fd->length == 0)
		return;
	if (control_fd->length > CONTROL_LINE_MAX)
		failed = error_set(&err, ERR_USAGE, "a line is too long");
	else {
		control_fd->line[control_fd->length] = '\0';
		failed = control_line(control_fd->line, control_fd->control, &err);
	}
	control_fd->length = 0;
	control_fd->on_order(control_fd->arg, failed ? &err : NULL);
}

static void take_bytes(struct control_fd *control_fd, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] == '\n')
			end_line(control_fd);
		else if (control_fd->length >= CONTROL_LINE_MAX)
			control_fd->length = CONTROL_LINE_MAX + 1;
		else
			control_fd->line[control_fd->length++] = bytes[i];
	}
}

/* Until the other end is closed or the copy is over. */
static void *follow(void *arg)
{
	struct control_fd *control_fd = arg;
	struct pollfd fds[] = {
		{ .fd = control_fd->stop, .events = POLLIN },
		{ .fd = control_fd->fd, .events = POLLIN },
	};
	char bytes[256];

	for (;;) {
		ssize_t got;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[0].revents)
			return NULL;
		if (!fds[1].revents)
			continue;
		got = read(control_fd->fd, bytes, sizeof(bytes));
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return NULL; /* half a line is no order */
		take_bytes(control_fd, bytes, (size_t)got);
	}
}

int control_fd_start(int fd, struct copy_control *control,
	void (*on_order)(void *arg, const struct error *wrong), void *arg,
	struct control_fd **out, struct error *err)
{
	AUTO(free) struct control_fd *new = calloc(1, sizeof(*new));
	AUTO(fd) int stop = eventfd(0, EFD_CLOEXEC);

	if (!new)
		return error_no_memory(err);
	if (stop < 0)
		return error_set_errno(err, ERR_INTERNAL, "cannot make an eventfd");
	new->fd = fd;
	new->stop = stop;
	new->control = control;
	new->on_order = on_order;
	new->arg = arg;
	errno = pthread_create(&new->thread, NULL, follow, new);
	if (errno != 0)
		return error_set_errno(err, ERR_INTERNAL, "cannot start a thread");
	steal_fd(&stop);
	*out = steal(new);
	return 0;
}

void control_fd_stop(struct control_fd *control_fd)
{
	eventfd_write(control_fd->stop, 1);
	pthread_join(control_fd->thread, NULL);
	close(control_fd->stop);
	free(control_fd);
}
