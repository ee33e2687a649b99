/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h - tell the volume manager of a swap's end, as Nova does through cinder-api. */
#ifndef COMPUTE_ANSWER_H
#define COMPUTE_ANSWER_H

#include "compute/orders.h"

/* migrate_volume_completion, a call, in a thread. 0: it was answered, or refused, which
 * ends it too, and that is written down. -1: nobody answered; try again later. */
int answer_send(
	struct hypervisor *hypervisor, const struct swap *swap, struct error *err);

#endif
