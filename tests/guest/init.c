/* SPDX-License-Identifier: Apache-2.0 */
/* The only program of the test guest: it loads the modules that /modules lists, then writes
 * the pattern (pattern.h) to the disk for as long as it is there, and says on the console
 *
 *	GUEST UP
 *	DISK run blocks serial		a disk appeared; another serial than before: a new run
 *	ACK run n microseconds		write n of the run is durable, and took so long
 *	ERROR run n errno		it failed; it is tried again
 *	READ-ONLY run serial		nothing is written to that one
 *	GONE run
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>

#include "pattern.h"

#define DISK "vda"
#define NAP_US 20000

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	char line[256];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (write(1, line, (size_t)length) < 0)
		_exit(1);
}

static void mount_all(void)
{
	int console;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	console = open("/dev/console", O_RDWR);
	for (int fd = 0; console >= 0 && fd < 3; fd++)
		dup2(console, fd);
}

static void load_modules(void)
{
	FILE *list = fopen("/modules", "r");
	char line[256], path[300];

	while (list && fgets(line, sizeof(line), list)) {
		int fd;

		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "/lib/%s", line);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
			say("MODULE %s %d\n", line, errno);
		if (fd >= 0)
			close(fd);
	}
	if (list)
		fclose(list);
}

/* The number behind name= on the kernel's command line. */
static uint64_t parameter(const char *name, uint64_t fallback)
{
	FILE *in = fopen("/proc/cmdline", "r");
	char line[2048] = "", *at;

	if (in && fgets(line, sizeof(line), in)) {
		at = strstr(line, name);
		if (at)
			fallback = strtoull(at + strlen(name), NULL, 10);
	}
	if (in)
		fclose(in);
	return fallback;
}

static void read_sys(const char *name, char *out, size_t size)
{
	FILE *in = fopen(name, "r");

	out[0] = '\0';
	if (in && fgets(out, (int)size, in))
		out[strcspn(out, "\n")] = '\0';
	if (in)
		fclose(in);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- one disk ---- */

static struct {
	uint64_t run, n, blocks;
	char serial[64];
	int fd;
} disk = { .fd = -1 };

static int open_disk(uint64_t most)
{
	char serial[64], only[8];
	uint64_t size = 0;

	read_sys("/sys/block/" DISK "/serial", serial, sizeof(serial));
	read_sys("/sys/block/" DISK "/ro", only, sizeof(only));
	if (!only[0])
		return -1;
	if (strcmp(serial, disk.serial) != 0) {
		disk.run++;
		disk.n = 1;
		snprintf(disk.serial, sizeof(disk.serial), "%s", serial);
		if (only[0] == '1')
			say("READ-ONLY %llu %s\n", (unsigned long long)disk.run,
				serial);
	}
	if (only[0] == '1')
		return -1;
	disk.fd = open("/dev/" DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk.fd < 0)
		return -1;
	ioctl(disk.fd, BLKGETSIZE64, &size);
	disk.blocks = size / PATTERN_BLOCK < most ? size / PATTERN_BLOCK : most;
	say("DISK %llu %llu %s\n", (unsigned long long)disk.run,
		(unsigned long long)disk.blocks, serial);
	return 0;
}

static int write_once(uint64_t *buffer)
{
	for (unsigned k = 0; k < PER_WRITE; k++) {
		uint64_t place = place_of(disk.run, disk.n, k, disk.blocks);

		fill_block(buffer, disk.run, disk.n, place);
		if (pwrite(disk.fd, buffer, PATTERN_BLOCK,
			    (off_t)(place * PATTERN_BLOCK)) != PATTERN_BLOCK)
			return -1;
	}
	return fdatasync(disk.fd);
}

static void close_disk(void)
{
	char only[8];

	close(disk.fd);
	disk.fd = -1;
	read_sys("/sys/block/" DISK "/ro", only, sizeof(only));
	if (!only[0])
		say("GONE %llu\n", (unsigned long long)disk.run);
}

static void write_next(uint64_t *buffer)
{
	unsigned long long run = disk.run, n = disk.n;
	double begun = seconds(), took;

	if (write_once(buffer) < 0) {
		say("ERROR %llu %llu %d\n", run, n, errno);
		close_disk();
		usleep(NAP_US);
		return;
	}
	took = seconds() - begun;
	say("ACK %llu %llu %.0f\n", run, n, took * 1e6);
	disk.n++;
}

int main(void)
{
	uint64_t *buffer = aligned_alloc(PATTERN_BLOCK, PATTERN_BLOCK), most, pause_us;

	mount_all();
	load_modules();
	most = parameter("pattern.blocks=", UINT64_MAX);
	pause_us = parameter("pattern.pause=", 0);
	say("GUEST UP\n");
	for (;;) {
		if (disk.fd < 0 && open_disk(most) < 0) {
			usleep(NAP_US);
			continue;
		}
		write_next(buffer);
		if (pause_us)
			usleep((useconds_t)pause_us);
	}
}
