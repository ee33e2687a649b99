/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "volume-manager/manager.h"
#include "volume-manager/work.h"

#define MAX_ARGUMENTS 64

static const char *const kind_names[] = {
	[CHILD_OPERATION] = "operation",
	[CHILD_GARBAGE] = "garbage",
	[CHILD_EXPORT] = "export",
	[CHILD_READ_BACK] = "read_back",
	[CHILD_LOOK] = "look",
	[CHILD_STATS] = "stats",
};

static void unlink_child(struct child *child)
{
	struct child **p = &child->manager->children;

	while (*p && *p != child)
		p = &(*p)->next;
	if (*p)
		*p = child->next;
	if (child->kind == CHILD_LOOK)
		child->managed->looks--;
}

static void close_io(struct child *child)
{
	if (child->fd < 0)
		return;
	ev_io_stop(loop_ev(child->manager->loop), &child->io);
	close(child->fd);
	child->fd = -1;
}

static void child_free(struct child *child)
{
	ev_child_stop(loop_ev(child->manager->loop), &child->exit);
	close_io(child);
	free(child);
}

static void take_lines(struct child *child)
{
	char *newline;

	while ((newline = memchr(child->line, '\n', child->used))) {
		size_t length = (size_t)(newline - child->line) + 1;

		*newline = '\0';
		if (child->kind == CHILD_STATS && child->line[0])
			reports_take(child->manager, child->id, child->line);
		child->used -= length;
		memmove(child->line, child->line + length, child->used);
	}
}

static void on_readable(struct ev_loop *ev, ev_io *watcher, int events)
{
	struct child *child = watcher->data;
	ssize_t got = read(child->fd, child->line + child->used,
		sizeof(child->line) - child->used);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A line longer than the buffer is not a worker's. */
	if (got <= 0 || child->used + (size_t)got == sizeof(child->line)) {
		close_io(child);
		return;
	}
	child->used += (size_t)got;
	child->heard_at = clock_seconds();
	take_lines(child);
}

static void log_end(const struct child *child, int status)
{
	if (WIFSIGNALED(status))
		log_warning("worker was killed kind=%s id=%s pid=%d signal=%d",
			kind_names[child->kind], child->id, (int)child->pid,
			WTERMSIG(status));
	else if (WEXITSTATUS(status) != WORK_DONE)
		log_info("worker ended kind=%s id=%s pid=%d status=%d",
			kind_names[child->kind], child->id, (int)child->pid,
			WEXITSTATUS(status));
}

static void on_exit_of(struct ev_loop *ev, ev_child *watcher, int events)
{
	struct child *child = watcher->data;
	struct manager *manager = child->manager;

	/* What it said last may still be in the socket. */
	if (child->fd >= 0)
		on_readable(ev, &child->io, EV_READ);
	log_end(child, watcher->rstatus);
	unlink_child(child);
	/* A killed worker leaves its files here. Its work may be ended elsewhere, or its row
	 * be forgotten: nobody comes by again. */
	if (child->kind == CHILD_OPERATION || child->kind == CHILD_EXPORT)
		locks_forget(manager, child->id);
	if (child->kind == CHILD_STATS)
		reports_take(manager, child->id, NULL);
	scan_child_ended(manager, child, watcher->rstatus);
	child_free(child);
}

/* Between fork and exec: no allocation, no log. */
static void __attribute__((noreturn))
become_worker(const char *path, char *const *argv, int fd, pid_t parent)
{
	loop_child_signals();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The parent may have died before the call took effect. */
	if (getppid() != parent)
		_exit(WORK_FAILED);
	if (fd == WORK_FD)
		fcntl(fd, F_SETFD, 0);
	else if (dup2(fd, WORK_FD) < 0)
		_exit(WORK_FAILED);
	execv(path, argv);
	_exit(WORK_FAILED);
}

static int build_argv(struct manager *manager, enum child_kind kind, const char *id,
	char *epoch, const char **argv, struct error *err)
{
	const struct program *program = manager->program;
	unsigned n = 0;

	if (program->config_file_count * 2 + 8 > MAX_ARGUMENTS)
		return error_set(err, ERR_CONFIG, "too many configuration files");
	argv[n++] = "drover-worker";
	for (size_t i = 0; i < program->config_file_count; i++) {
		argv[n++] = "--config-file";
		argv[n++] = program->config_files[i];
	}
	if (manager->settings->debug)
		argv[n++] = "--debug";
	argv[n++] = kind_names[kind];
	argv[n++] = id;
	if (epoch)
		argv[n++] = epoch;
	argv[n] = NULL;
	return 0;
}

/* Until when the lease counts, so that a worker does not outlive it even when this process
 * hangs. A full socket belongs to a worker that is stopped or does not listen. */
static void tell_lease(const struct child *child)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "{\"lease_until_ms\": %lld}\n",
		(long long)child->manager->lease_until_ms);

	if (child->fd >= 0 && child->manager->lease_until_ms > 0)
		send(child->fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void children_tell_lease(struct manager *manager)
{
	for (const struct child *c = manager->children; c; c = c->next)
		tell_lease(c);
}

static int spawn(
	struct manager *manager, struct child *child, char *epoch, struct error *err)
{
	const char *argv[MAX_ARGUMENTS];
	pid_t parent = getpid();
	int pair[2];

	if (build_argv(manager, child->kind, child->id, epoch, argv, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, ERR_IO, "cannot make a socket pair");
	child->fd = pair[0];
	tell_lease(child);
	child->pid = fork();
	if (child->pid == 0)
		become_worker(manager->worker_path, (char *const *)(uintptr_t)argv,
			pair[1], parent);
	close(pair[1]);
	if (child->pid < 0) {
		close(pair[0]);
		child->fd = -1;
		return error_set_errno(err, ERR_IO, "cannot start a worker");
	}
	fcntl(child->fd, F_SETFL, O_NONBLOCK);
	return 0;
}

int child_start(struct managed *managed, enum child_kind kind, const char *id,
	const struct operation *op, struct error *err)
{
	struct manager *manager = managed->manager;
	AUTO(free) struct child *child = calloc(1, sizeof(*child));
	char epoch[24];

	if (!child)
		return error_no_memory(err);
	child->manager = manager;
	child->managed = managed;
	child->kind = kind;
	child->fd = -1;
	snprintf(child->id, sizeof(child->id), "%s", id);
	if (op) {
		child->op = *op;
		snprintf(epoch, sizeof(epoch), "%lld", (long long)op->epoch);
	}
	if (spawn(manager, child, op ? epoch : NULL, err) < 0)
		return -1;
	ev_child_init(&child->exit, on_exit_of, child->pid, 0);
	child->exit.data = child;
	ev_child_start(loop_ev(manager->loop), &child->exit);
	ev_io_init(&child->io, on_readable, child->fd, EV_READ);
	child->io.data = child;
	ev_io_start(loop_ev(manager->loop), &child->io);
	child->heard_at = child->started_at = clock_seconds();
	if (kind == CHILD_LOOK)
		managed->looks++;
	log_debug("worker started kind=%s id=%s pid=%d", kind_names[kind], id,
		(int)child->pid);
	child->next = manager->children;
	manager->children = child;
	child = NULL;
	return 0;
}

struct child *child_find(struct manager *manager, enum child_kind kind, const char *id)
{
	for (struct child *c = manager->children; c; c = c->next)
		if (c->kind == kind && strcmp(c->id, id) == 0)
			return c;
	return NULL;
}

/* The server of an export has closed its end, and says nothing; what becomes one waits for
 * the standbys of the database before that. */
static bool is_silent(const struct child *child)
{
	const struct settings *settings = child->manager->settings;
	double seconds = settings->worker_timeout;

	if (child->kind == CHILD_EXPORT)
		seconds += settings->standby_timeout;
	return child->fd >= 0 && clock_seconds() - child->heard_at > seconds;
}

/* A look is short, or its storage hangs; then its worker lives, and cannot even be killed
 * perhaps. */
static void check_look(struct child *child)
{
	double age = clock_seconds() - child->started_at;

	if (child->kind != CHILD_LOOK || child->given_up ||
		age < child->manager->settings->worker_timeout)
		return;
	kill(child->pid, SIGKILL);
	scan_give_up_look(child);
}

void children_check(struct manager *manager)
{
	struct ev_loop *ev = loop_ev(manager->loop);

	for (struct child *c = manager->children; c; c = c->next) {
		check_look(c);
		if (!is_silent(c))
			continue;
		/* This process may have been stopped itself. */
		on_readable(ev, &c->io, EV_READ);
		if (!is_silent(c))
			continue;
		log_error("worker is stuck, it is killed kind=%s id=%s pid=%d",
			kind_names[c->kind], c->id, (int)c->pid);
		kill(c->pid, SIGKILL);
	}
}

unsigned children_stop(struct manager *manager, int signum)
{
	unsigned left = 0;

	for (struct child *c = manager->children; c; c = c->next) {
		kill(c->pid, signum);
		left++;
	}
	return left;
}

static void watch_free(struct watch *watch)
{
	struct watch **p = &watch->manager->watches;

	while (*p && *p != watch)
		p = &(*p)->next;
	if (*p)
		*p = watch->next;
	ev_io_stop(loop_ev(watch->manager->loop), &watch->io);
	close(watch->fd);
	free(watch);
}

static void on_ended(struct ev_loop *ev, ev_io *watcher, int events)
{
	struct watch *watch = watcher->data;
	struct manager *manager = watch->manager;

	watch_free(watch);
	manager_scan_in(manager, 0);
}

int watch_process(struct manager *manager, const char *id, pid_t pid, struct error *err)
{
	struct watch *watch;

	for (watch = manager->watches; watch; watch = watch->next)
		if (strcmp(watch->id, id) == 0)
			return 0;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return error_no_memory(err);
	watch->fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (watch->fd < 0) {
		free(watch);
		return error_set_errno(
			err, ERR_IO, "cannot watch process %d", (int)pid);
	}
	watch->manager = manager;
	snprintf(watch->id, sizeof(watch->id), "%s", id);
	ev_io_init(&watch->io, on_ended, watch->fd, EV_READ);
	watch->io.data = watch;
	ev_io_start(loop_ev(manager->loop), &watch->io);
	watch->next = manager->watches;
	manager->watches = watch;
	return 0;
}

void children_free(struct manager *manager)
{
	while (manager->watches)
		watch_free(manager->watches);
	while (manager->children) {
		struct child *child = manager->children;

		manager->children = child->next;
		child_free(child);
	}
}
