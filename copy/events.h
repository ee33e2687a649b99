/* SPDX-License-Identifier: Apache-2.0 */
/* events.h - progress as lines of JSON, for a program that watches.
 *
 * Writing never waits for the reader: what it does not take is left out, and one that went
 * away is forgotten. Only for the last line a reader that is behind has a second.
 */
#ifndef COPY_EVENTS_H
#define COPY_EVENTS_H

#include <limits.h>
#include <stdbool.h>

#include "common/json.h"
#include "copy/copy.h"

struct events {
	int fd; /* -1: nobody wants them */
	double next; /* no progress before this time */
	char left[PIPE_BUF]; /* the rest of a line that was taken in part */
	size_t left_size;
};

/* fd is borrowed. */
void events_open(struct events *events, int fd);
/* At most one in half a second, the rest is left out. */
void events_progress(struct events *events, const struct copy_progress *progress);
/* The last one, with all it has to say; taken over. */
void events_end(struct events *events, struct json_object *line);

#endif
