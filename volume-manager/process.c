/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/process.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/auto.h"

int64_t process_start_time(pid_t pid)
{
	char path[64], line[1024];
	long long start = 0;
	char state = 'Z';
	const char *rest;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	AUTO(fclose) FILE *file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return 0;
	/* The name in parentheses may hold anything; what follows is numbers. */
	rest = strrchr(line, ')');
	if (!rest ||
		sscanf(rest,
			") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
			"%*d %*d %*d %*d %*d %lld",
			&state, &start) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : start;
}

const char *process_boot_id(void)
{
	static char id[40];

	if (!id[0]) {
		AUTO(fclose)
		FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

		if (file && fgets(id, sizeof(id), file))
			id[strcspn(id, "\n")] = '\0';
	}
	return id;
}

bool process_is(pid_t pid, int64_t start_time, const char *boot_id)
{
	return pid > 0 && start_time > 0 && strcmp(boot_id, process_boot_id()) == 0 &&
		process_start_time(pid) == start_time;
}

int64_t process_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
