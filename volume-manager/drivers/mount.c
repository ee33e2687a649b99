/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/drivers/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"

/* mount.nfs itself tries for two minutes where a server does not answer. */
#define ATTEMPT_SECONDS 20.0
#define KILLED_SECONDS 2.0
#define SAID_SIZE 400
#define MAX_ARGUMENTS 32

static void nap_ms(unsigned ms)
{
	const struct timespec nap = { .tv_sec = ms / 1000,
		.tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&nap, NULL);
}

/* ---- a program ---- */

/* Between fork and exec. What it says comes out of the pipe; it ends with us. */
static void __attribute__((noreturn))
become(const char *const *argv, int out, pid_t parent)
{
	static char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"LC_ALL=C", NULL };
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	execvpe(argv[0], (char *const *)(uintptr_t)argv, environment);
	_exit(127);
}

/* What it has said by now; the first bytes are kept. */
static void listen_to(int fd, char *said)
{
	size_t used = strlen(said);
	char buffer[512];
	ssize_t got;

	while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
		if ((size_t)got > SAID_SIZE - 1 - used)
			got = (ssize_t)(SAID_SIZE - 1 - used);
		memcpy(said + used, buffer, (size_t)got);
		used += (size_t)got;
		said[used] = '\0';
	}
}

/* Until it has ended: 1, or the time is up: 0. Not until its output is closed: mount.nfs
 * may have started a daemon that keeps it. */
static int attend(pid_t pid, int fd, char *said, double until, int *status)
{
	for (;;) {
		pid_t done = waitpid(pid, status, WNOHANG);

		listen_to(fd, said);
		if (done == pid)
			return 1;
		if (done < 0 || clock_seconds() >= until)
			return 0;
		nap_ms(5);
	}
}

/* One line without the white space around it. */
static const char *tidy(char *said)
{
	size_t length = strlen(said);

	while (length && strchr(" \t\r\n", said[length - 1]))
		said[--length] = '\0';
	for (char *c = said; *c; c++)
		if (*c == '\n')
			*c = ' ';
	return said;
}

static int judge(const char *program, int status, char *said, struct error *err)
{
	const char *why = tidy(said);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && !*why)
		return error_set(err, ERR_BACKEND, "cannot run '%s'", program);
	if (WIFEXITED(status))
		return error_set(err, ERR_BACKEND, "'%s' ended with status %d%s%s",
			program, WEXITSTATUS(status), *why ? ": " : "", why);
	return error_set(err, ERR_BACKEND, "'%s' was killed by signal %d%s%s", program,
		WTERMSIG(status), *why ? ": " : "", why);
}

int mount_run(const char *const *argv, double seconds, struct error *err)
{
	const double until = clock_seconds() + seconds;
	AUTO(fd) int out = -1;
	char said[SAID_SIZE] = "";
	pid_t parent = getpid(), pid;
	int ends[2], status = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERR_BACKEND, "cannot make a pipe");
	out = ends[0];
	fcntl(out, F_SETFL, O_NONBLOCK);
	pid = fork();
	if (pid == 0)
		become(argv, ends[1], parent);
	close(ends[1]);
	if (pid < 0)
		return error_set_errno(err, ERR_BACKEND, "cannot fork");
	setpgid(pid, pid);
	if (attend(pid, out, said, until, &status))
		return judge(argv[0], status, said, err);
	/* One that waits for a dead server may not even die; it is left behind then. */
	kill(-pid, SIGKILL);
	attend(pid, out, said, clock_seconds() + KILLED_SECONDS, &status);
	return error_set(
		err, ERR_TIMEOUT, "'%s' did not end in %.0f s", argv[0], seconds);
}

/* ---- the directory ---- */

int mount_make_point(const char *point, struct error *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s", point) >= (int)sizeof(path))
		return error_set(err, ERR_CONFIG, "a mount point's path is too long");
	for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return error_set_errno(
				err, ERR_BACKEND, "cannot make directory '%s'", path);
		if (!slash)
			return 0;
		*slash = '/';
	}
}

/* ---- the mount ---- */

static bool has_version(const char *options)
{
	static const char *const names[] = { "nfsvers", "vers", "v2", "v3", "v4" };

	while (*options) {
		size_t size = strcspn(options, ",");

		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (strncmp(options, names[i], strlen(names[i])) == 0)
				return true;
		options += size;
		options += *options == ',';
	}
	return false;
}

static int run_mount(
	const char *options, const char *share, const char *point, struct error *err)
{
	const char *argv[8];
	unsigned n = 0;

	argv[n++] = "mount";
	argv[n++] = "-t";
	argv[n++] = "nfs";
	if (options[0]) {
		argv[n++] = "-o";
		argv[n++] = options;
	}
	argv[n++] = share;
	argv[n++] = point;
	argv[n] = NULL;
	return mount_run(argv, ATTEMPT_SECONDS, err);
}

/* As os-brick does: 4.1 first where nobody says which version, for pNFS. */
static int mount_as_root(const struct backend_settings *settings,
	const struct nfs_share *share, const char *point, struct error *err)
{
	char options[2 * NFS_OPTIONS_SIZE], newer[2 * NFS_OPTIONS_SIZE + 32];

	if (nfs_mount_options(settings, share, options, err) < 0)
		return -1;
	snprintf(newer, sizeof(newer), "%s%svers=4,minorversion=1", options,
		options[0] ? "," : "");
	if (!has_version(options)) {
		if (run_mount(newer, share->name, point, err) == 0)
			return 0;
		if (err->code == ERR_TIMEOUT)
			return -1;
		log_debug("not mounted with NFS 4.1 share=%s: %s", share->name,
			err->text);
	}
	return run_mount(options, share->name, point, err);
}

/* mount_helper is words: a program, its arguments, and behind them ours. */
static int mount_by_helper(const struct backend_settings *settings,
	const struct nfs_share *share, struct error *err)
{
	AUTO(free) char *words = strdup(settings->mount_helper);
	const char *argv[MAX_ARGUMENTS];
	char *rest = words, *word;
	unsigned n = 0;

	if (!words)
		return error_no_memory(err);
	while ((word = strsep(&rest, " \t")))
		if (*word && n < MAX_ARGUMENTS - 4)
			argv[n++] = word;
	if (n == 0)
		return error_set(err, ERR_CONFIG, "mount_helper is empty");
	argv[n++] = "mount";
	argv[n++] = settings->name;
	argv[n++] = share->name;
	argv[n] = NULL;
	return mount_run(argv, 3 * ATTEMPT_SECONDS, err);
}

static int mount_once(const struct backend_settings *settings,
	const struct nfs_share *share, const char *point, struct error *err)
{
	if (geteuid() == 0)
		return mount_as_root(settings, share, point, err);
	return mount_by_helper(settings, share, err);
}

int mount_share(const struct backend_settings *settings, const struct nfs_share *share,
	const char *point, struct error *err)
{
	int64_t attempts =
		settings->nfs_mount_attempts < 1 ? 1 : settings->nfs_mount_attempts;

	if (geteuid() != 0 && !settings->mount_helper)
		return error_set(err, ERR_BACKEND,
			"share '%s' is not mounted at '%s', and only root can do that:"
			" run 'drover-mount' as root, or set mount_helper",
			share->name, point);
	while (mount_once(settings, share, point, err) < 0) {
		/* A dead server is not asked again and again: it is looked at later. */
		if (--attempts < 1 || err->code == ERR_TIMEOUT ||
			err->code == ERR_CONFIG)
			return error_context(err, "mount share '%s'", share->name);
		nap_ms(1000);
	}
	return 0;
}
