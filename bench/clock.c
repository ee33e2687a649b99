/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c - runs a program and says what it took.
 *
 *     clock FILE PROGRAM [ARGUMENT]...
 *
 * FILE gets one line: the exit status (128 + number after a signal), seconds on the clock,
 * seconds of processor, peak resident memory in KiB.
 *
 * Small for a reason: Linux counts the memory of a process before exec into its peak, so a
 * program started from Python has at least Python's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	struct rusage used;
	double began, took;
	int status;
	pid_t child;
	FILE *out;

	if (argc < 3) {
		fprintf(stderr, "usage: clock FILE PROGRAM [ARGUMENT]...\n");
		return 2;
	}
	began = now();
	child = fork();
	if (child < 0)
		die("clock: fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (wait4(child, &status, 0, &used) < 0)
		die("clock: wait4");
	took = now() - began;
	out = fopen(argv[1], "w");
	if (!out)
		die(argv[1]);
	fprintf(out, "%d %.6f %.6f %ld\n",
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), took,
		seconds(used.ru_utime) + seconds(used.ru_stime), used.ru_maxrss);
	if (fclose(out) != 0)
		die(argv[1]);
	return 0;
}
