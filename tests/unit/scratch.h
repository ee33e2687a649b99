/* SPDX-License-Identifier: Apache-2.0 */
/* scratch.h - throw-away directories, file systems and files for tests. */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

struct scratch {
	char path[PATH_MAX];
	char image[PATH_MAX]; /* of the mounted file system, empty: none */
	char device[64]; /* its loop device */
	int loop; /* -1: none */
	bool mounted;
};

static UNUSED void scratch_make(struct scratch *scratch)
{
	*scratch = (struct scratch) { .path = "/tmp/drover-test-XXXXXX", .loop = -1 };
	assert_non_null(mkdtemp(scratch->path));
}

static int scratch_remove_one(
	const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static UNUSED void scratch_remove(struct scratch *scratch)
{
	if (scratch->mounted)
		assert_int_equal(umount2(scratch->path, MNT_DETACH), 0);
	if (scratch->loop >= 0) {
		ioctl(scratch->loop, LOOP_CLR_FD, 0);
		close(scratch->loop);
	}
	if (scratch->image[0])
		unlink(scratch->image);
	nftw(scratch->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A loop device over an image of this size beside the directory. False: cannot here. */
static UNUSED bool scratch_loop(struct scratch *scratch, uint64_t size)
{
	struct loop_config config = { 0 };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	int image;

	if (control >= 0)
		close(control);
	if (number < 0)
		return false;
	snprintf(scratch->image, sizeof(scratch->image), "%.200s.img", scratch->path);
	snprintf(scratch->device, sizeof(scratch->device), "/dev/loop%d", number);
	image = open(scratch->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(image >= 0);
	assert_int_equal(ftruncate(image, (off_t)size), 0);
	scratch->loop = open(scratch->device, O_RDWR | O_CLOEXEC);
	config.fd = (uint32_t)image;
	if (scratch->loop < 0 || ioctl(scratch->loop, LOOP_CONFIGURE, &config) < 0) {
		if (scratch->loop >= 0)
			close(scratch->loop);
		scratch->loop = -1;
	}
	close(image);
	return scratch->loop >= 0;
}

static bool scratch_run(const char *const *argv)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		WEXITSTATUS(status) == 0;
}

/* xfs with reflink, mounted on the directory. False: cannot here. */
static UNUSED bool scratch_xfs(struct scratch *scratch)
{
	const char *const argv[] = { "mkfs.xfs", "-q", "-f", "-m", "reflink=1",
		scratch->device, NULL };

	if (geteuid() != 0 || !scratch_loop(scratch, (uint64_t)400 << 20) ||
		!scratch_run(argv))
		return false;
	scratch->mounted = mount(scratch->device, scratch->path, "xfs", 0, NULL) == 0;
	return scratch->mounted;
}

static UNUSED bool scratch_mount(
	struct scratch *scratch, const char *type, const char *options)
{
	scratch->mounted = mount("none", scratch->path, type, 0, options) == 0;
	return scratch->mounted;
}

#define skip_because(reason) \
	do { \
		print_message("skipped: %s\n", (reason)); \
		skip(); \
	} while (0)

/* Wait, with a deadline, until path exists. */
static UNUSED bool scratch_await(const char *path)
{
	for (int i = 0; i < 2000; i++) {
		if (access(path, F_OK) == 0)
			return true;
		usleep(5000);
	}
	return false;
}

#endif
