/* SPDX-License-Identifier: Apache-2.0 */
/* The sample configuration and drover.conf(5) tell of every option, and the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/text.h"

static char *read_all(FILE *in)
{
	char *text = calloc(1, 1 << 20);

	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, in) > 0);
	return text;
}

static char *read_doc(const char *name)
{
	const char *srcdir = getenv("srcdir");
	AUTO(free) char *path = text_format("%s/docs/%s", srcdir ? srcdir : ".", name);
	AUTO(fclose) FILE *in = fopen(path, "r");

	assert_non_null(in);
	return read_all(in);
}

/* What --show-config prints for this configuration; warnings go to *log. */
static char *show_config(const char *text, char **log)
{
	char path[] = "/tmp/test_docs-XXXXXX";
	char log_path[] = "/tmp/test_docs-XXXXXX";
	const char *const paths[] = { path };
	AUTO(fd) int fd = mkstemp(path);
	AUTO(fd) int log_fd = mkstemp(log_path);
	AUTO(fclose) FILE *out = tmpfile();
	AUTO(fd) int saved = dup(STDOUT_FILENO);
	AUTO(settings_free) struct settings *settings = NULL;
	AUTO(fclose) FILE *log_file = fdopen(dup(log_fd), "r");
	struct error err = { 0 };

	assert_true(fd >= 0 && log_fd >= 0 && out && saved >= 0 && log_file);
	assert_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	assert_int_equal(log_to_file(log_path), 0);
	log_info("loading");
	if (settings_load(paths, 1, &settings, &err) < 0)
		fail_msg("%s", err.text);
	log_to_file(NULL);
	fflush(stdout);
	dup2(fileno(out), STDOUT_FILENO);
	settings_print(settings);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	unlink(path);
	unlink(log_path);
	rewind(out);
	if (log)
		*log = read_all(log_file);
	return read_all(out);
}

static void the_sample_is_read_without_a_warning(void **state)
{
	AUTO(free) char *sample = read_doc("drover.conf.sample");
	AUTO(free) char *log = NULL;
	AUTO(free) char *shown = show_config(sample, &log);

	assert_null(strstr(log, "warning"));
	assert_non_null(strstr(shown, "[fast]"));
}

/* "#name = value" in the sample says that value is the default. */
static char *with_defaults_written(const char *sample)
{
	AUTO(free) char *copy = strdup(sample);
	char *text = calloc(1, 2 * strlen(sample) + 64);
	char *end = text;
	char *rest = copy;
	char *line;

	assert_non_null(text);
	while ((line = strsep(&rest, "\n"))) {
		const char *equals = strstr(line, " = ");
		bool is_default = line[0] == '#' && line[1] != ' ' && equals &&
			strncmp(line, "#host =", 7) != 0 &&
			strncmp(line, "#backend_host =", 15) != 0;

		end += sprintf(end, "%s\n", is_default ? line + 1 : line);
	}
	return text;
}

static void the_sample_shows_the_defaults(void **state)
{
	AUTO(free) char *sample = read_doc("drover.conf.sample");
	AUTO(free) char *written = with_defaults_written(sample);
	AUTO(free) char *without = show_config(sample, NULL);
	AUTO(free) char *with = show_config(written, NULL);

	assert_true(strlen(written) < strlen(sample) + 64);
	assert_string_not_equal(sample, written);
	assert_string_equal(with, without);
}

static void every_option_is_documented(void **state)
{
	AUTO(free) char *sample = read_doc("drover.conf.sample");
	AUTO(free) char *page = read_doc("drover.conf.5");
	AUTO(free) char *shown = show_config(sample, NULL);
	char *rest = shown;
	char *line;
	int options = 0;

	while ((line = strsep(&rest, "\n"))) {
		AUTO(free) char *in_sample = NULL;

		line += strspn(line, "#");
		if (!strstr(line, " = ") || line[0] == ' ')
			continue;
		line[strcspn(line, " ")] = '\0';
		in_sample = text_format("%s =", line);
		if (!strstr(sample, in_sample))
			fail_msg("drover.conf.sample lacks '%s'", line);
		if (!strstr(page, line))
			fail_msg("drover.conf.5 lacks '%s'", line);
		options++;
	}
	assert_true(options > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sample_is_read_without_a_warning),
		cmocka_unit_test(the_sample_shows_the_defaults),
		cmocka_unit_test(every_option_is_documented),
	};

	log_open("test_docs", LOG_LEVEL_INFO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
