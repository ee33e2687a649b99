/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - telling a process from a later one with the same number. */
#ifndef VOLUME_MANAGER_PROCESS_H
#define VOLUME_MANAGER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Field 22 of /proc/PID/stat: clock ticks after boot; 0 when there is no such process or
 * it is a zombie. */
int64_t process_start_time(pid_t pid);

static inline bool process_is(pid_t pid, int64_t start_time)
{
	return pid > 0 && start_time > 0 && process_start_time(pid) == start_time;
}

#endif
