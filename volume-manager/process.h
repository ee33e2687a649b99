/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - telling a process from a later one with the same number; their clock. */
#ifndef VOLUME_MANAGER_PROCESS_H
#define VOLUME_MANAGER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Field 22 of /proc/PID/stat: clock ticks after boot; 0 when there is no such process or
 * it is a zombie. */
int64_t process_start_time(pid_t pid);

/* /proc/sys/kernel/random/boot_id: start times count from the start of the machine, so they
 * mean something within one run of it only. Borrowed, constant; "" when unknown. */
const char *process_boot_id(void);

/* Is it the process that was written down? */
bool process_is(pid_t pid, int64_t start_time, const char *boot_id);

/* Milliseconds since the machine started, sleep included: a manager and its workers compare
 * times by this clock. */
int64_t process_clock_ms(void);

#endif
