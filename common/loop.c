/* SPDX-License-Identifier: Apache-2.0 */
#include "common/loop.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

struct loop {
	struct ev_loop *ev;
	ev_signal terminate, interrupt, hangup;
	void (*reload)(void *arg);
	void *reload_arg;
	void (*stop)(void *arg);
	void *stop_arg;
};

static void on_stop_signal(struct ev_loop *ev, ev_signal *watcher, int events)
{
	struct loop *loop = watcher->data;

	if (loop->stop)
		loop->stop(loop->stop_arg);
	else
		loop_quit(loop);
}

static void on_hangup(struct ev_loop *ev, ev_signal *watcher, int events)
{
	struct loop *loop = watcher->data;

	if (loop->reload)
		loop->reload(loop->reload_arg);
}

static void watch(struct loop *loop, ev_signal *watcher,
	void (*callback)(struct ev_loop *, ev_signal *, int), int signum)
{
	ev_signal_init(watcher, callback, signum);
	watcher->data = loop;
	ev_signal_start(loop->ev, watcher);
	ev_unref(loop->ev);
}

int loop_new(struct loop **out, struct error *err)
{
	AUTO(loop_free) struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return error_no_memory(err);
	loop->ev = ev_default_loop(EVFLAG_AUTO);
	if (!loop->ev)
		return error_set(err, ERR_INTERNAL, "cannot make an event loop");
	signal(SIGPIPE, SIG_IGN);
	watch(loop, &loop->terminate, on_stop_signal, SIGTERM);
	watch(loop, &loop->interrupt, on_stop_signal, SIGINT);
	watch(loop, &loop->hangup, on_hangup, SIGHUP);
	*out = steal(loop);
	return 0;
}

static void unwatch(struct loop *loop, ev_signal *watcher)
{
	if (!ev_is_active(watcher))
		return;
	ev_ref(loop->ev);
	ev_signal_stop(loop->ev, watcher);
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->ev) {
		unwatch(loop, &loop->terminate);
		unwatch(loop, &loop->interrupt);
		unwatch(loop, &loop->hangup);
		ev_loop_destroy(loop->ev);
	}
	free(loop);
}

struct ev_loop *loop_ev(struct loop *loop)
{
	return loop->ev;
}

void loop_on_reload(struct loop *loop, void (*on_reload)(void *arg), void *arg)
{
	loop->reload = on_reload;
	loop->reload_arg = arg;
}

void loop_on_stop(struct loop *loop, void (*on_stop)(void *arg), void *arg)
{
	loop->stop = on_stop;
	loop->stop_arg = arg;
}

void loop_run(struct loop *loop)
{
	ev_run(loop->ev, 0);
}

void loop_quit(struct loop *loop)
{
	ev_break(loop->ev, EVBREAK_ALL);
}

void loop_child_signals(void)
{
	sigset_t none;

	for (int signum = 1; signum < NSIG; signum++)
		signal(signum, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
