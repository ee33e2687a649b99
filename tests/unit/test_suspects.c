/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/scratch.h"

#include "common/auto.h"
#include "common/suspects.h"
#include "common/text.h"

struct fixture {
	struct scratch scratch;
	char path[PATH_MAX + 16];
	struct suspects suspects;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->scratch);
	snprintf(f->path, sizeof(f->path), "%s/suspects", f->scratch.path);
	f->suspects.path = f->path;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	scratch_remove(&f->scratch);
	free(f);
	return 0;
}

static void write_file(const struct fixture *f, const char *text)
{
	AUTO(fclose) FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	assert_int_not_equal(fputs(text, file), EOF);
}

static void expect_file(const struct fixture *f, const char *wanted)
{
	AUTO(fclose) FILE *file = fopen(f->path, "r");
	char text[8192] = "";

	assert_non_null(file);
	fread(text, 1, sizeof(text) - 1, file);
	assert_string_equal(text, wanted);
}

static void notes_are_found_by_the_next_process(void **state)
{
	struct fixture *f = *state;
	struct suspects next = { .path = f->path };

	assert_int_equal(suspects_count(&f->suspects, "a"), 0);
	suspects_note(&f->suspects, "a");
	suspects_note(&f->suspects, "b");
	suspects_note(&f->suspects, "a");
	expect_file(f, "a\nb\na\n");
	assert_int_equal(suspects_count(&next, "a"), 2);
	assert_int_equal(suspects_count(&next, "b"), 1);
	assert_int_equal(suspects_count(&next, "c"), 0);
	assert_false(f->suspects.broken || next.broken);
}

static void only_the_notes_of_what_was_handled_go(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a\nab\na\n\nb\na\n");
	suspects_clear(&f->suspects, "a");
	expect_file(f, "ab\n\nb\n");
	suspects_clear(&f->suspects, "other");
	expect_file(f, "ab\n\nb\n");
	suspects_clear(&f->suspects, "ab");
	suspects_clear(&f->suspects, "b");
	expect_file(f, "\n");
	write_file(f, "a\na");
	suspects_clear(&f->suspects, "a");
	expect_file(f, "");
	assert_false(f->suspects.broken);
}

static void a_part_of_an_id_is_not_the_id(void **state)
{
	struct fixture *f = *state;

	write_file(f, "abc\nab\nxab\nab");
	assert_int_equal(suspects_count(&f->suspects, "ab"), 2);
	assert_int_equal(suspects_count(&f->suspects, "b"), 0);
	assert_int_equal(suspects_count(&f->suspects, "abcd"), 0);
}

static void the_file_does_not_grow_for_ever(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char id[32];

	for (int i = 0; i < 400; i++) {
		snprintf(id, sizeof(id), "message-%08d", i);
		suspects_note(&f->suspects, id);
	}
	assert_int_equal(suspects_count(&f->suspects, "message-00000000"), 0);
	assert_int_equal(suspects_count(&f->suspects, "message-00000399"), 1);
	suspects_clear(&f->suspects, "message-00000398");
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(st.st_size > 3000 && st.st_size <= 4096);
	assert_int_equal(suspects_count(&f->suspects, "message-00000399"), 1);
	assert_int_equal(suspects_count(&f->suspects, "message-00000397"), 1);
}

static void without_a_path_nothing_is_noted(void **state)
{
	struct suspects none = { .path = NULL };

	suspects_note(&none, "a");
	suspects_clear(&none, "a");
	assert_int_equal(suspects_count(&none, "a"), 0);
	assert_false(none.broken);
}

/* A link is not followed, a directory cannot be read: the first failure is the last. */
static void after_a_failure_the_file_is_left_alone(void **state)
{
	struct fixture *f = *state;
	char elsewhere[sizeof(f->path) + 16];

	snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", f->path);
	assert_int_equal(symlink(elsewhere, f->path), 0);
	suspects_note(&f->suspects, "a");
	assert_true(f->suspects.broken);
	assert_int_equal(access(elsewhere, F_OK), -1);
	assert_int_equal(unlink(f->path), 0);
	suspects_note(&f->suspects, "a");
	suspects_clear(&f->suspects, "a");
	assert_int_equal(suspects_count(&f->suspects, "a"), 0);
	assert_int_equal(access(f->path, F_OK), -1);

	f->suspects.broken = false;
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(suspects_count(&f->suspects, "a"), 0);
	assert_true(f->suspects.broken);
	f->suspects.broken = false;
	suspects_clear(&f->suspects, "a");
	assert_true(f->suspects.broken);
}

static void a_disk_that_is_full_is_a_failure(void **state)
{
	struct fixture *f = *state;

	f->suspects.path = "/dev/full";
	suspects_note(&f->suspects, "a");
	assert_true(f->suspects.broken);
}

/* The note is there, but what replaces the file cannot be made. */
static void a_file_that_cannot_be_replaced_is_a_failure(void **state)
{
	struct fixture *f = *state;
	char fresh[sizeof(f->path) + 16];

	snprintf(fresh, sizeof(fresh), "%s.new", f->path);
	assert_int_equal(mkdir(fresh, 0700), 0);
	write_file(f, "a\nb\n");
	suspects_clear(&f->suspects, "a");
	assert_true(f->suspects.broken);
	expect_file(f, "a\nb\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(notes_are_found_by_the_next_process),
		TEST(only_the_notes_of_what_was_handled_go),
		TEST(a_part_of_an_id_is_not_the_id),
		TEST(the_file_does_not_grow_for_ever),
		TEST(without_a_path_nothing_is_noted),
		TEST(after_a_failure_the_file_is_left_alone),
		TEST(a_disk_that_is_full_is_a_failure),
		TEST(a_file_that_cannot_be_replaced_is_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
