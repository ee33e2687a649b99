/* SPDX-License-Identifier: Apache-2.0 */
/* Drawn as 'drover migrate --wait' draws it. */
#include "copy/bar.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/text.h"

#define TEXT_COLUMNS 56 /* "100%  1023.9 MiB of 999.9 GiB  999.9 MiB/s  59:59 left" */
#define BAR_COLUMNS 40 /* at most */

void bar_open(struct bar *bar, bool wanted)
{
	const char *term = getenv("TERM");

	memset(bar, 0, sizeof(*bar));
	pthread_mutex_init(&bar->mutex, NULL);
	bar->shown =
		wanted && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

double bar_seconds_left(const struct copy_progress *progress)
{
	if (progress->position >= progress->total)
		return 0;
	if (progress->rate < 1)
		return -1;
	return (double)(progress->total - progress->position) / progress->rate;
}

static int percent_of(const struct copy_progress *progress)
{
	if (progress->total == 0)
		return 100;
	return (int)((double)progress->position * 100 / (double)progress->total);
}

const char *bar_text(char out[BAR_TEXT_SIZE], const struct copy_progress *progress)
{
	char done[SIZE_TEXT_SIZE], all[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE];
	double left = bar_seconds_left(progress);
	int used = snprintf(out, BAR_TEXT_SIZE, "%3d%%  %s of %s", percent_of(progress),
		text_size(done, progress->position), text_size(all, progress->total));

	if (left > 0 && left < 6e6)
		snprintf(out + used, BAR_TEXT_SIZE - (size_t)used,
			"  %s/s  %d:%02d left",
			text_size(rate, (uint64_t)progress->rate), (int)left / 60,
			(int)left % 60);
	return out;
}

static int terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

/* "[#####-----]  43%  880.0 MiB of 2.0 GiB  512.0 MiB/s  0:02 left"; the bar keeps its
 * width whatever is said behind it. */
static void draw(int percent, const char *text)
{
	int left = terminal_width() - 1;
	int columns = left - TEXT_COLUMNS - 3;
	char cells[BAR_COLUMNS + 1] = "";

	fputs("\r\033[K", stderr);
	if (columns >= 8) {
		columns = columns < BAR_COLUMNS ? columns : BAR_COLUMNS;
		for (int i = 0; i < columns; i++)
			cells[i] = i < columns * percent / 100 ? '#' : '-';
		fprintf(stderr, "[%s] ", cells);
		left -= columns + 3;
	}
	fprintf(stderr, "%.*s", left > 0 ? left : 0, text);
	fflush(stderr);
}

void bar_show(struct bar *bar, const struct copy_progress *progress)
{
	char text[BAR_TEXT_SIZE];

	if (!bar->shown)
		return;
	pthread_mutex_lock(&bar->mutex);
	draw(percent_of(progress), bar_text(text, progress));
	bar->drawn = true;
	pthread_mutex_unlock(&bar->mutex);
}

void bar_close(struct bar *bar)
{
	pthread_mutex_lock(&bar->mutex);
	if (bar->drawn)
		fputc('\n', stderr);
	bar->drawn = bar->shown = false;
	pthread_mutex_unlock(&bar->mutex);
}

void bar_message(struct bar *bar, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&bar->mutex);
	fprintf(stderr, "%sdrover-copy: ", bar->drawn ? "\r\033[K" : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	bar->drawn = false;
	pthread_mutex_unlock(&bar->mutex);
}
