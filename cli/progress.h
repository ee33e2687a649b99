/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - a migration on its way: a bar on a terminal, otherwise plain lines. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>

#include "common/store/migrations.h"

struct progress {
	bool quiet, terminal;
	bool drawn; /* the cursor stands behind a bar */
	char phase[32]; /* of the last plain line */
	double line_at; /* when that was */
	int64_t position; /* what it said */
};
void progress_open(struct progress *progress, bool quiet);
/* Nobody has taken the migration yet. */
void progress_waiting(struct progress *progress);
void progress_show(struct progress *progress, const struct migration *m);
/* Leave the line of the bar. */
void progress_close(struct progress *progress);

/* "43%  880.0 MiB of 2.0 GiB  512.0 MiB/s  0:02 left": what is known of it. */
#define PROGRESS_TEXT_SIZE 160
const char *progress_text(char out[PROGRESS_TEXT_SIZE], const struct migration *m);

#endif
