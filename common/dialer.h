/* SPDX-License-Identifier: Apache-2.0 */
/* dialer.h - when and where to connect next.
 *
 * Takes the hosts in turn; after each round of failures it waits 0.2 s, then twice as long
 * each time up to 10 s, with jitter. A connection that had worked for a while is replaced
 * at once. Each different reason is logged once.
 */
#ifndef COMMON_DIALER_H
#define COMMON_DIALER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/auto.h"
#include "common/error.h"

struct broker;
struct rpc_options;

#define DIAL_TIMEOUT_S 3.0

struct dialer {
	const struct rpc_options *options; /* borrowed */
	const char *purpose; /* for the log: "requests" */
	size_t next_host;
	unsigned failures; /* since the last dialer_good() */
	double not_before; /* clock_seconds() */
	double good_since; /* clock_seconds(); 0: not connected, or not known to work */
	char reason[ERROR_TEXT_SIZE]; /* the last one, "" when all is well */
	unsigned long told[16]; /* hashes of those logged; each host may have its own */
	size_t told_count;
};

void dialer_init(
	struct dialer *dialer, const struct rpc_options *options, const char *purpose);
/* Seconds until the next attempt is due, 0 when it is. */
double dialer_wait(const struct dialer *dialer);
/* One attempt at the next host, due or not. The caller reports how it ends, then or
 * later, with one of the two below. */
int dialer_dial(struct dialer *dialer, double timeout_s, double stall_s,
	struct broker **out, struct error *err);
void dialer_good(struct dialer *dialer, const struct broker *broker);
void dialer_bad(struct dialer *dialer, const struct error *reason);

#endif
