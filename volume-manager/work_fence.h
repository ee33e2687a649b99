/* SPDX-License-Identifier: Apache-2.0 */
/* work_fence.h - until when a worker may touch storage. */
#ifndef VOLUME_MANAGER_WORK_FENCE_H
#define VOLUME_MANAGER_WORK_FENCE_H

#include "common/error.h"

/* From now on this process is killed when the time has come that the manager named last
 * on descriptor 3: {"lease_until_ms": 123} on a line. Then another manager may take over
 * its work, whatever this one is in the middle of. A thread sees to it. */
int fence_start(struct error *err);

#endif
