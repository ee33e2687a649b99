/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/show.h"

#define LINE_EVERY_S 2
#define PHASE_COLUMNS 10
#define TEXT_COLUMNS 56 /* "100%  1023.9 MiB of 999.9 GiB  999.9 MiB/s  59:59 left" */

static bool moves_bytes(const struct migration *m)
{
	return m->op.phase == PHASE_COPYING || m->position > 0;
}

static int add_rate(char *out, size_t size, const struct migration *m)
{
	char rate[SIZE_TEXT_SIZE];
	int64_t left_s;

	if ((m->op.phase != PHASE_COPYING && m->op.phase != PHASE_SWAPPING) ||
		m->rate < 1 || m->paused)
		return 0;
	left_s = (int64_t)((double)(m->size_bytes - m->position) / m->rate);
	return snprintf(out, size, "  %s/s  %d:%02d left",
		text_size(rate, (uint64_t)m->rate), (int)(left_s / 60 % 100000),
		(int)(left_s % 60));
}

static void add_limit(char *out, size_t size, const struct migration *m)
{
	char limit[LIMIT_TEXT_SIZE];

	if ((m->op.phase == PHASE_COPYING || m->op.phase == PHASE_SWAPPING) &&
		m->rate_limit > 0)
		snprintf(out, size, "  at most %s", show_limit(limit, m));
}

const char *progress_text(char out[PROGRESS_TEXT_SIZE], const struct migration *m)
{
	char done[SIZE_TEXT_SIZE], all[SIZE_TEXT_SIZE];
	int used;

	out[0] = '\0';
	if (!moves_bytes(m))
		return out;
	used = snprintf(out, PROGRESS_TEXT_SIZE, "%3d%%  %s of %s", show_percent(m),
		text_size(done, (uint64_t)m->position),
		text_size(all, (uint64_t)m->size_bytes));
	if (m->position < m->size_bytes)
		used += add_rate(out + used, PROGRESS_TEXT_SIZE - (size_t)used, m);
	add_limit(out + used, PROGRESS_TEXT_SIZE - (size_t)used, m);
	return out;
}

void progress_open(struct progress *progress, bool quiet)
{
	const char *term = getenv("TERM");

	memset(progress, 0, sizeof(*progress));
	progress->quiet = quiet;
	progress->terminal = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

static int terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

static void draw_bar(int columns, int percent)
{
	int full = columns * percent / 100;

	putchar('[');
	for (int i = 0; i < columns; i++)
		putchar(i < full ? '#' : '-');
	putchar(']');
}

/* "copying    [#####-----]  43%  880.0 MiB of 2.0 GiB  512.0 MiB/s  0:02 left"; the bar
 * keeps its width whatever is said behind it. */
static void draw(
	struct progress *progress, const char *phase, int percent, const char *text)
{
	int width = terminal_width() - 1;
	int bar = width - PHASE_COLUMNS - TEXT_COLUMNS - 4;
	int left = width - PHASE_COLUMNS - 1;

	printf("\r\033[K%-*.*s ", PHASE_COLUMNS, PHASE_COLUMNS, phase);
	if (bar >= 8) {
		bar = bar < 40 ? bar : 40;
		draw_bar(bar, percent);
		putchar(' ');
		left -= bar + 3;
	}
	printf("%.*s", left > 0 ? left : 0, text);
	fflush(stdout);
	progress->drawn = true;
}

static void line(struct progress *progress, const char *phase, int64_t position,
	const char *text)
{
	double now = clock_seconds();
	bool same_phase = strcmp(progress->phase, phase) == 0;

	if (same_phase &&
		(progress->position == position ||
			now - progress->line_at < LINE_EVERY_S))
		return;
	printf("%s%s%s\n", phase, text[0] ? " " : "", text);
	fflush(stdout);
	snprintf(progress->phase, sizeof(progress->phase), "%s", phase);
	progress->position = position;
	progress->line_at = now;
}

void progress_waiting(struct progress *progress)
{
	if (progress->quiet)
		return;
	if (progress->terminal)
		draw(progress, "starting", 0, "");
	else
		line(progress, "starting", 0, "");
}

void progress_show(struct progress *progress, const struct migration *m)
{
	char text[PROGRESS_TEXT_SIZE];

	if (progress->quiet)
		return;
	progress_text(text, m);
	if (progress->terminal)
		draw(progress, show_phase(m), show_percent(m), text);
	else
		line(progress, show_phase(m), m->position, text);
}

void progress_close(struct progress *progress)
{
	if (progress->drawn)
		putchar('\n');
	fflush(stdout);
	progress->drawn = false;
}
