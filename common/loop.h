/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - the one libev loop of a daemon: start, stop and signals.
 *
 * One thread. Watchers live inside the objects that own them and use loop_ev(). It is
 * libev's default loop, so that child watchers work; nothing else may wait for children.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <ev.h>

#include "common/auto.h"
#include "common/error.h"

struct loop;

/* Take SIGTERM and SIGINT (stop) and SIGHUP (reload), ignore SIGPIPE. One per process. */
int loop_new(struct loop **out, struct error *err);
void loop_free(struct loop *loop);
DEFINE_AUTO(struct loop *, loop_free)

struct ev_loop *loop_ev(struct loop *loop);

/* Called in the loop when SIGHUP came / when stopping begins. One of each. */
void loop_on_reload(struct loop *loop, void (*on_reload)(void *arg), void *arg);
void loop_on_stop(struct loop *loop, void (*on_stop)(void *arg), void *arg);

/* Runs until loop_quit(). With no on_stop callback the first SIGTERM quits; with one, the
 * callback decides when to quit. */
void loop_run(struct loop *loop);
void loop_quit(struct loop *loop);

/* In a child between fork and exec: default signal handlers and an empty mask. */
void loop_child_signals(void);

#endif
