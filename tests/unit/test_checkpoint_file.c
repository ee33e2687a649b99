/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/text.h"
#include "copy/checkpoint_file.h"
#include "tests/unit/scratch.h"

static struct checkpoint example(void)
{
	return (struct checkpoint) {
		.source = {
			.name = "disk.img",
			.facts = { ENDPOINT_FILE, 5 << 20, 2049, 77, -12, 0 },
		},
		.target = {
			.name = "nbd+unix:///?socket=/run/x y%z",
			.facts = { ENDPOINT_SERVER, 6 << 20, 0, 0, 0, 0 },
		},
		.offset = 3 << 20,
		.chain = "00112233445566778899aabbccddeeff",
	};
}

static char *text_of(const struct checkpoint *checkpoint)
{
	struct error err;
	char *text = NULL;

	assert_int_equal(checkpoint_to_text(checkpoint, &text, &err), 0);
	assert_true(strlen(text) < CHECKPOINT_TEXT_MAX);
	return text;
}

static bool is_taken(const char *text, size_t length, struct checkpoint *out)
{
	struct error err = { 0 };

	if (checkpoint_from_text(text, length, out, &err) == 0)
		return true;
	assert_int_equal(err.code, ERR_INVALID_INPUT);
	assert_true(err.text[0]);
	return false;
}

/* ---- the text ---- */

static void what_was_written_is_read(void **state)
{
	struct checkpoint before = example(), after = { 0 };
	AUTO(free) char *text = NULL;

	for (int c = 1; c < 256; c++)
		before.source.name[c - 1] = (char)c;
	memset(before.target.name, '\n', sizeof(before.target.name) - 1);
	text = text_of(&before);
	assert_true(is_taken(text, strlen(text), &after));
	assert_string_equal(after.source.name, before.source.name);
	assert_string_equal(after.target.name, before.target.name);
	assert_string_equal(after.chain, before.chain);
	assert_int_equal(after.offset, before.offset);
	assert_int_equal(after.verify, COPY_VERIFY_READBACK);
	assert_int_equal(after.source.facts.mtime_ns, -12);
	assert_int_equal(after.source.facts.inode, 77);
	assert_int_equal(after.target.facts.kind, ENDPOINT_SERVER);
}

static void nothing_verified_has_no_chain(void **state)
{
	struct checkpoint before = example(), after = { 0 };
	AUTO(free) char *text = NULL;

	before.verify = COPY_VERIFY_NONE;
	before.chain[0] = '\0';
	text = text_of(&before);
	assert_true(is_taken(text, strlen(text), &after));
	assert_string_equal(after.chain, "");
	assert_int_equal(after.verify, COPY_VERIFY_NONE);
}

static void a_text_cut_anywhere_is_refused(void **state)
{
	struct checkpoint checkpoint = example(), out;
	AUTO(free) char *text = text_of(&checkpoint);

	for (size_t length = 0; length < strlen(text); length++)
		assert_false(is_taken(text, length, &out));
}

static void a_text_with_any_bit_flipped_is_refused(void **state)
{
	struct checkpoint checkpoint = example(), out;
	AUTO(free) char *text = text_of(&checkpoint);
	size_t length = strlen(text);

	for (size_t bit = 0; bit < 8 * length; bit++) {
		text[bit / 8] ^= (char)(1 << bit % 8);
		assert_false(is_taken(text, length, &out));
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_true(is_taken(text, length, &out));
}

static void a_text_with_more_behind_it_is_refused(void **state)
{
	struct checkpoint checkpoint = example(), out;
	AUTO(free) char *text = text_of(&checkpoint);
	AUTO(free) char *longer = text_format("%s\n", text);

	assert_false(is_taken(longer, strlen(longer), &out));
	assert_false(is_taken(longer, strlen(text) + 2, &out)); /* a NUL */
}

static void an_offset_behind_the_end_is_refused(void **state)
{
	struct checkpoint checkpoint = example(), out;
	AUTO(free) char *text = NULL;

	checkpoint.offset = checkpoint.source.facts.size + 1;
	text = text_of(&checkpoint);
	assert_false(is_taken(text, strlen(text), &out));
}

/* ---- is it of this copy? ---- */

/* Whether now is taken for the copy that example() is of; else *why tells. */
static bool is_of(const struct checkpoint *now, struct error *why)
{
	struct checkpoint saved = example();

	if (checkpoint_check(&saved, now, why) == 0)
		return true;
	assert_int_equal(why->code, ERR_INVALID_INPUT);
	assert_non_null(strstr(why->text, "remove the checkpoint file"));
	return false;
}

static void the_same_copy_goes_on(void **state)
{
	struct checkpoint now = example();
	struct error err;

	now.offset = 0;
	now.chain[0] = '\0';
	now.target.facts.mtime_ns = 5; /* the copy itself wrote to it */
	assert_true(is_of(&now, &err));
}

static void a_difference_is_named(void **state)
{
	static const char *const words[] = { "disk.img", "was written to",
		"another file", "another file", "5242880", "another server", "6291456",
		"--verify=readback" };
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct checkpoint now = example();

		switch (i) {
		case 0:
			strcpy(now.source.name, "other.img");
			break;
		case 1:
			now.source.facts.mtime_ns++;
			break;
		case 2:
			now.source.facts.inode++;
			break;
		case 3:
			now.source.facts.device++;
			break;
		case 4:
			now.source.facts.size++;
			break;
		case 5:
			now.target.facts.kind = ENDPOINT_DEVICE;
			break;
		case 6:
			now.target.facts.size++;
			break;
		default:
			now.verify = COPY_VERIFY_NONE;
		}
		assert_false(is_of(&now, &err));
		assert_non_null(strstr(err.text, words[i]));
	}
}

/* ---- the file ---- */

struct fixture {
	struct scratch scratch;
	char path[128], new_path[160];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->scratch);
	snprintf(f->path, sizeof(f->path), "%.90s/checkpoint", f->scratch.path);
	snprintf(f->new_path, sizeof(f->new_path), "%s.new", f->path);
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

static struct checkpoint_file *open_file(const struct fixture *f, bool expected)
{
	struct checkpoint_file *file = NULL;
	struct checkpoint found;
	struct error err;
	bool exists;

	if (checkpoint_file_open(f->path, &file, &exists, &found, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(exists, expected);
	return file;
}

static enum error_code why_not(const struct fixture *f)
{
	struct checkpoint_file *file = NULL;
	struct checkpoint found;
	struct error err;
	bool exists;

	assert_int_equal(
		checkpoint_file_open(f->path, &file, &exists, &found, &err), -1);
	assert_non_null(strstr(err.text, f->path));
	return err.code;
}

static void write_offset(struct checkpoint_file *file, uint64_t offset)
{
	struct checkpoint checkpoint = example();
	struct error err;

	checkpoint.offset = offset;
	if (checkpoint_file_write(file, &checkpoint, &err) < 0)
		fail_msg("%s", err.text);
}

static void put(const char *path, const char *text)
{
	AUTO(fclose) FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
}

static void the_last_one_written_is_found(void **state)
{
	struct fixture *f = *state;
	struct checkpoint_file *file = open_file(f, false);
	struct checkpoint found;
	struct error err;
	bool exists;

	assert_int_not_equal(access(f->path, F_OK), 0);
	write_offset(file, 0);
	write_offset(file, 1 << 20);
	checkpoint_file_close(file);
	assert_int_not_equal(access(f->new_path, F_OK), 0);
	assert_int_equal(
		checkpoint_file_open(f->path, &file, &exists, &found, &err), 0);
	assert_true(exists);
	assert_int_equal(found.offset, 1 << 20);
	assert_int_equal(checkpoint_file_remove(file, &err), 0);
	checkpoint_file_close(file);
	assert_int_not_equal(access(f->path, F_OK), 0);
}

static void only_one_copy_has_it(void **state)
{
	struct fixture *f = *state;
	struct checkpoint_file *file = open_file(f, false);

	for (int i = 0; i < 3; i++) {
		write_offset(file, 0);
		assert_int_equal(why_not(f), ERR_EXISTS);
	}
	checkpoint_file_close(file);
	file = open_file(f, true);
	assert_int_equal(why_not(f), ERR_EXISTS);
	checkpoint_file_close(file);
}

static void of_two_that_begin_only_one_writes(void **state)
{
	struct fixture *f = *state;
	struct checkpoint_file *one = open_file(f, false), *two = open_file(f, false);
	struct checkpoint checkpoint = example();
	struct error err;

	write_offset(one, 0);
	assert_int_equal(checkpoint_file_write(two, &checkpoint, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	checkpoint_file_close(two);
	checkpoint_file_close(one);
	checkpoint_file_close(open_file(f, true));
}

static void what_a_crash_left_beside_it_is_no_hindrance(void **state)
{
	struct fixture *f = *state;
	struct checkpoint_file *file = open_file(f, false);

	put(f->new_path, "half of a check");
	write_offset(file, 0);
	checkpoint_file_close(file);
	checkpoint_file_close(open_file(f, true));
}

static void a_foreign_file_is_refused_and_kept(void **state)
{
	struct fixture *f = *state;
	char text[64] = "";

	put(f->path, "my diary\n");
	assert_int_equal(why_not(f), ERR_INVALID_INPUT);
	AUTO(fclose) FILE *in = fopen(f->path, "r");
	assert_non_null(fgets(text, sizeof(text), in));
	assert_string_equal(text, "my diary\n");
}

static void a_file_that_came_meanwhile_is_kept(void **state)
{
	struct fixture *f = *state;
	struct checkpoint_file *file = open_file(f, false);
	struct checkpoint checkpoint = example();
	struct error err;
	char text[64] = "";

	put(f->path, "my diary\n");
	assert_int_equal(checkpoint_file_write(file, &checkpoint, &err), -1);
	checkpoint_file_close(file);
	AUTO(fclose) FILE *in = fopen(f->path, "r");
	assert_non_null(fgets(text, sizeof(text), in));
	assert_string_equal(text, "my diary\n");
}

static void what_is_no_file_is_refused_at_once(void **state)
{
	struct fixture *f = *state;
	AUTO(free) char *big = calloc(1, 2 * CHECKPOINT_TEXT_MAX);

	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_int_equal(why_not(f), ERR_INVALID_INPUT);
	unlink(f->path);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(why_not(f), ERR_IO);
	rmdir(f->path);
	memset(big, 'x', 2 * CHECKPOINT_TEXT_MAX - 1);
	put(f->path, big);
	assert_int_equal(why_not(f), ERR_INVALID_INPUT);
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct checkpoint checkpoint = example();
	struct checkpoint_file *file;
	struct error err;

	strcat(f->path, "/in-nothing");
	file = open_file(f, false);
	assert_int_equal(checkpoint_file_write(file, &checkpoint, &err), -1);
	assert_non_null(strstr(err.text, f->path));
	checkpoint_file_close(file);
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(nothing_verified_has_no_chain),
		cmocka_unit_test(a_text_cut_anywhere_is_refused),
		cmocka_unit_test(a_text_with_any_bit_flipped_is_refused),
		cmocka_unit_test(a_text_with_more_behind_it_is_refused),
		cmocka_unit_test(an_offset_behind_the_end_is_refused),
		cmocka_unit_test(the_same_copy_goes_on),
		cmocka_unit_test(a_difference_is_named),
		FILE_TEST(the_last_one_written_is_found),
		FILE_TEST(only_one_copy_has_it),
		FILE_TEST(of_two_that_begin_only_one_writes),
		FILE_TEST(what_a_crash_left_beside_it_is_no_hindrance),
		FILE_TEST(a_foreign_file_is_refused_and_kept),
		FILE_TEST(a_file_that_came_meanwhile_is_kept),
		FILE_TEST(what_is_no_file_is_refused_at_once),
		FILE_TEST(a_directory_that_is_not_there_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
