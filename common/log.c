/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/auto.h"

#define LINE_SIZE 4096

static const char *program_name = "drover";
static enum log_level lowest_level = LOG_LEVEL_INFO;
static int log_fd = STDERR_FILENO;
static int to_journal;

/* systemd tells which device and inode its journal stream is: sd-daemon(3). */
static int stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return 0;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_open(const char *program, enum log_level lowest)
{
	program_name = program;
	lowest_level = lowest;
	to_journal = stderr_is_journal();
}

void log_set_level(enum log_level lowest)
{
	lowest_level = lowest;
}

enum log_level log_get_level(void)
{
	return lowest_level;
}

int log_to_file(const char *path)
{
	int fd = STDERR_FILENO;

	if (path) {
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
		if (fd < 0)
			return -1;
	}
	if (log_fd != STDERR_FILENO)
		close(log_fd);
	log_fd = fd;
	return 0;
}

static size_t prefix(char *line, size_t size, enum log_level level)
{
	static const char *const names[] = { "debug", "info", "warning", "error" };
	static const int priorities[] = { 7, 6, 4, 3 };
	struct timespec now;
	struct tm tm;
	size_t used;

	if (to_journal && log_fd == STDERR_FILENO)
		return (size_t)snprintf(line, size, "<%d>", priorities[level]);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	used = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return used +
		(size_t)snprintf(line + used, size - used,
			".%03ldZ %s %s[%d]: ", now.tv_nsec / 1000000, names[level],
			program_name, (int)getpid());
}

void log_line(enum log_level level, const char *format, ...)
{
	char text[LINE_SIZE];
	char line[LINE_SIZE + 128];
	size_t used;
	va_list args;
	int saved = errno;

	if (level < lowest_level)
		return;
	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	used = prefix(line, sizeof(line), level);
	for (const unsigned char *p = (const unsigned char *)text;
		*p && used < sizeof(line) - 6; p++) {
		if (*p < 0x20 || *p == 0x7f)
			used += (size_t)snprintf(line + used, 5, "\\x%02x", *p);
		else
			line[used++] = (char)*p;
	}
	line[used++] = '\n';
	/* One write, so that lines of several processes do not mix. A full disk under
	 * the log is not a reason to stop moving data. */
	if (write(log_fd, line, used) < 0)
		(void)0;
	errno = saved;
}
