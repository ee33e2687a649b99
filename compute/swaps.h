/* SPDX-License-Identifier: Apache-2.0 */
/* swaps.h - all swaps of this host, in memory and in their files.
 *
 * Any thread may look; what it gets is a copy. Whoever changes one holds the lock of its
 * volume from the look to the save.
 */
#ifndef COMPUTE_SWAPS_H
#define COMPUTE_SWAPS_H

#include "compute/swap.h"

struct swaps;

/* Read the files of the directory; one that cannot be read is an error, as nobody may
 * forget an order. The string is copied. */
int swaps_load(const char *directory, struct swaps **out, struct error *err);
void swaps_free(struct swaps *swaps);
DEFINE_AUTO(struct swaps *, swaps_free)

/* One thread at a time for each volume (of some volumes, one for several). ERR_TIMEOUT: what
 * another one does there hangs. */
int swaps_lock(struct swaps *swaps, const char *volume, struct error *err);
void swaps_unlock(struct swaps *swaps, const char *volume);

/* False: there is none. */
bool swaps_find(struct swaps *swaps, const char *instance, const char *volume,
	const char *target, struct swap *out);
/* One of this volume that is not over. */
bool swaps_find_active(struct swaps *swaps, const char *instance, const char *volume,
	struct swap *out);
/* Write the file, then let it be seen; a new one is added. */
int swaps_save(struct swaps *swaps, const struct swap *swap, struct error *err);
/* How far its copy is; not written down. */
void swaps_note(struct swaps *swaps, const struct swap *swap);

/* ---- in the loop ---- */

/* One for which something is to be done now; it is not given out again until it is put
 * back. False: none. */
enum swap_need { SWAP_NEEDS_LOOK, SWAP_NEEDS_ANSWER };
bool swaps_take(struct swaps *swaps, double now, enum swap_need need, struct swap *out);
/* Is there any that will need something? */
bool swaps_are_idle(struct swaps *swaps);
/* It is wanted again at that time (clock_seconds()). */
void swaps_put_back(struct swaps *swaps, const struct swap *swap, enum swap_need need,
	double again);
/* Look at it as soon as possible. */
void swaps_hurry(struct swaps *swaps, const struct swap *swap);
/* Seconds that its answer waited the last time, doubled. */
double swaps_patience(struct swaps *swaps, const struct swap *swap);
/* Remove what is over and answered for so many seconds. */
void swaps_expire(struct swaps *swaps, int64_t seconds);

#endif
