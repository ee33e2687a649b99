/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fault.h"

#ifdef DROVER_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/log.h"

#define MAX_POINTS 128

static struct {
	char name[64];
	unsigned passed;
} points[MAX_POINTS];

static unsigned count_pass(const char *name)
{
	for (unsigned i = 0; i < MAX_POINTS; i++) {
		if (!points[i].name[0])
			snprintf(points[i].name, sizeof(points[i].name), "%s", name);
		if (strcmp(points[i].name, name) == 0)
			return ++points[i].passed;
	}
	return 0;
}

static void hold(const char *file)
{
	const struct timespec nap = { .tv_nsec = 5000000 };
	char go[PATH_MAX];
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	snprintf(go, sizeof(go), "%s.go", file);
	while (access(go, F_OK) < 0 && errno == ENOENT)
		nanosleep(&nap, NULL);
}

static int act(const char *name, const char *action, struct error *err)
{
	log_warning("fault point reached name=%s action=%s", name, action);
	if (strcmp(action, "kill") == 0)
		raise(SIGKILL);
	if (strncmp(action, "hold:", 5) == 0)
		hold(action + 5);
	if (strcmp(action, "fail") == 0)
		return error_set(err, ERR_IO, "injected fault at '%s'", name);
	if (strncmp(action, "fail:", 5) == 0)
		return error_set(err, error_code_from_name(action + 5),
			"injected fault at '%s'", name);
	return 0;
}

int fault_point(const char *name, struct error *err)
{
	const char *faults = getenv("DROVER_FAULTS");
	unsigned pass;
	char *rest = NULL;

	if (!faults || !*faults)
		return 0;
	pass = count_pass(name);
	AUTO(free) char *copy = strdup(faults);
	for (char *item = copy ? strtok_r(copy, ";", &rest) : NULL; item;
		item = strtok_r(NULL, ";", &rest)) {
		char *action = strchr(item, '=');
		if (!action)
			continue;
		*action++ = '\0';
		char *nth = strchr(item, '#');
		if (nth)
			*nth++ = '\0';
		if (strcmp(item, name) != 0 || (nth && (unsigned)atoi(nth) != pass))
			continue;
		if (act(name, action, err) < 0)
			return -1;
	}
	return 0;
}

#endif
