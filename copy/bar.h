/* SPDX-License-Identifier: Apache-2.0 */
/* bar.h - how far the copy is, on a terminal, and messages between. Any thread. */
#ifndef COPY_BAR_H
#define COPY_BAR_H

#include <pthread.h>
#include <stdbool.h>

#include "copy/copy.h"

struct bar {
	pthread_mutex_t mutex;
	bool shown; /* standard error is a terminal, and a bar is wanted */
	bool drawn; /* the cursor stands behind it */
};

void bar_open(struct bar *bar, bool wanted);
void bar_show(struct bar *bar, const struct copy_progress *progress);
/* Leave its line. */
void bar_close(struct bar *bar);

/* "drover-copy: message" on standard error; a bar is drawn again below it. */
void bar_message(struct bar *bar, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "43%  880.0 MiB of 2.0 GiB  512.0 MiB/s  0:02 left" */
#define BAR_TEXT_SIZE 160
const char *bar_text(char out[BAR_TEXT_SIZE], const struct copy_progress *progress);
/* -1: cannot be told. */
double bar_seconds_left(const struct copy_progress *progress);

#endif
