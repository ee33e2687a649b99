/* SPDX-License-Identifier: Apache-2.0 */
/* swap.h - a guest's disk goes over from volume S to volume T.
 *
 *	ordered -> copying -> blocking -> pivoting -> pivoted -> moved
 *	   |          |          |           |
 *	   +----------+----------+-----------+---> failing -> failed
 *	   +----------+----------+---------------> cancelling -> cancelled
 *	                                     +---> held
 *
 * Each step is written to the swap's file before anything is done for it, and can be done
 * again: what to do follows from the step and from what libvirt shows. In "blocking" the
 * instance's definition gets a disk that does not exist, so that the instance cannot be
 * started with S once it may be running on T; in "pivoted" it gets T.
 */
#ifndef COMPUTE_SWAP_H
#define COMPUTE_SWAP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"
#include "common/text.h"
#include "compute/location.h"

enum swap_step {
	SWAP_ORDERED,
	SWAP_COPYING,
	SWAP_BLOCKING,
	SWAP_PIVOTING,
	SWAP_PIVOTED,
	SWAP_FAILING,
	SWAP_CANCELLING,
	SWAP_MOVED,
	SWAP_FAILED,
	SWAP_CANCELLED,
	SWAP_HELD,
	SWAP_STEP_COUNT
};

#define SWAP_REASON_SIZE 512

/* One order; plain values. */
struct swap {
	char instance[UUID_TEXT_SIZE], volume[UUID_TEXT_SIZE], target[UUID_TEXT_SIZE];
	char answer_to[256]; /* "server1@fast": whose manager is told of the end */
	enum swap_step step;
	char reason[SWAP_REASON_SIZE]; /* why it failed, or is held */
	bool read_only;
	uint64_t rate; /* bytes per second, 0: none */
	struct location from, to;
	int domain_id; /* of the process that copies; -1: not known yet */
	int pivots; /* attempts */
	bool answered; /* the manager knows, or has said that it does not care */
	int64_t ended_at; /* seconds since the epoch; 0: it has not */
	/* Not in the file. */
	uint64_t done, total;
};

/* "copying"; for the file. */
const char *swap_step_name(enum swap_step step);
int swap_step_from_name(const char *name, enum swap_step *out, struct error *err);
/* What is told of it: "copying", "ready", "pivoting", "moved", ... */
const char *swap_state(const struct swap *swap);
/* It has ended; nothing is done any more unless somebody asks. */
bool swap_is_over(const struct swap *swap);
/* Somebody is to be told of its end. */
bool swap_is_due_answer(const struct swap *swap);

/* ---- swap_file.c ---- */

/* directory/INSTANCE.VOLUME.TARGET. Durable when it returns 0. */
int swap_file_save(const char *directory, const struct swap *swap, struct error *err);
int swap_file_load(const char *path, struct swap *out, struct error *err);
int swap_file_remove(const char *directory, const struct swap *swap, struct error *err);

/* ---- swap_run.c ---- */

struct host;
struct swap_run {
	struct host *host;
	/* Write it down, and only then let others see it. */
	int (*save)(void *arg, const struct swap *swap, struct error *err);
	void *arg;
};

/* Do what can be done now. 0: *swap is where it stands; look again later unless it is over.
 * -1: libvirt or the disk does not answer now; as far as it came it is in *swap. */
int swap_advance(const struct swap_run *run, struct swap *swap, struct error *err);

/* Give up before the pivot; does nothing after it. */
int swap_cancel(const struct swap_run *run, struct swap *swap, struct error *err);
/* Somebody has looked: of a held one. */
int swap_resolve(
	const struct swap_run *run, struct swap *swap, bool moved, struct error *err);

#endif
