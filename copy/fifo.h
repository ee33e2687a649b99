/* SPDX-License-Identifier: Apache-2.0 */
/* fifo.h - a queue of what has a link in it, which is taken with container_of(). What is queued
 * is borrowed; whoever shares a queue between threads locks it. */
#ifndef COPY_FIFO_H
#define COPY_FIFO_H

#include <stddef.h>

struct fifo_link {
	struct fifo_link *next;
};

struct fifo {
	struct fifo_link *first, **last;
};

static inline void fifo_init(struct fifo *fifo)
{
	fifo->first = NULL;
	fifo->last = &fifo->first;
}

static inline void fifo_add(struct fifo *fifo, struct fifo_link *link)
{
	link->next = NULL;
	*fifo->last = link;
	fifo->last = &link->next;
}

/* The oldest, or NULL. */
static inline struct fifo_link *fifo_take(struct fifo *fifo)
{
	struct fifo_link *link = fifo->first;

	if (!link)
		return NULL;
	fifo->first = link->next;
	if (!fifo->first)
		fifo->last = &fifo->first;
	return link;
}

#endif
