/* SPDX-License-Identifier: Apache-2.0 */
/* lane.h - threads that look at chunks and send them to a server, each over a connection of
 * its own: to encrypt takes more than one thread.
 *
 * All calls come from one thread, that of the copy.
 */
#ifndef COPY_LANE_H
#define COPY_LANE_H

#include "common/auto.h"
#include "common/error.h"
#include "copy/carry.h"
#include "copy/end.h"
#include "copy/fifo.h"

struct lane;
struct lanes;

struct lane_job {
	struct carry carry; /* its target is the lane's */

	/* Of the lane. */
	unsigned *pending;
	unsigned answers; /* requests that borrow the slot */
	struct fifo_link link;
};

/* Connect to the target, which takes several connections. wake is an eventfd that becomes
 * readable when a job ended; target and wake are borrowed. Fails with ERR_LOST when the server
 * has no room for them. */
int lanes_open(const struct endpoint *target, const struct end_options *options,
	int wake, struct lanes **out, struct error *err);
/* What is under way is given up. The jobs and their slots are borrowed until then. */
void lanes_close(struct lanes *lanes);
DEFINE_AUTO(struct lanes *, lanes_close)

/* Have one of them carry it, the source, digested and slot of which are set. *pending is
 * counted up, and down within lanes_serve() when all was written. */
int lanes_start(struct lanes *lanes, struct lane_job *job, unsigned *pending,
	struct error *err);
/* Take what ended. The first failure of a lane is that of all calls from then on. */
int lanes_serve(struct lanes *lanes, struct error *err);

#endif
