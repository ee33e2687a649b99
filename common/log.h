/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one event, one line: a sentence, then key=value.
 *
 *	log_info("migration moved on id=%s from=%s to=%s", id, from, to);
 *
 * Lines go to standard error with time, level and program; when standard error is
 * systemd's journal, with its priority mark instead of the time. Control characters are
 * escaped, so that no message can forge a line. Any thread.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* program is borrowed for the life of the process. */
void log_open(const char *program, enum log_level lowest);
void log_set_level(enum log_level lowest);
enum log_level log_get_level(void);
/* Also append to this file, opened again on each call (so SIGHUP can rotate it);
 * NULL: standard error only. 0, or -1 with errno. */
int log_to_file(const char *path);

void log_line(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
