/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/process.h"

#include <stdio.h>
#include <string.h>

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
