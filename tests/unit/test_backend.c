/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/scratch.h"

#include "common/auto.h"
#include "volume-manager/backend.h"

#define MIB ((uint64_t)1 << 20)

struct fixture {
	struct scratch scratch;
	struct backend_settings settings;
	struct backend *backend;
	int journal; /* where record writes, as a killed process leaves it */
	unsigned records;
	struct error err;
};

static int record(void *arg, const struct object_id *id, struct error *err)
{
	struct fixture *f = arg;

	(void)err;
	f->records++;
	assert_int_equal(pwrite(f->journal, id, sizeof(*id), 0), sizeof(*id));
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->scratch);
	f->settings = (struct backend_settings) {
		.name = (char *)"fast",
		.volume_driver = (char *)"file",
		.volume_name_template = (char *)"volume-%s",
		.file_directory = f->scratch.path,
	};
	f->journal = memfd_create("journal", MFD_CLOEXEC);
	assert_true(f->journal >= 0);
	if (backend_open(&f->settings, &f->backend, &f->err) < 0)
		fail_msg("%s", f->err.text);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	backend_close(f->backend);
	close(f->journal);
	scratch_remove(&f->scratch);
	free(f);
	return 0;
}

static bool is_there(const struct fixture *f, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%.200s/%s", f->scratch.path, name);
	return lstat(path, &st) == 0;
}

static void assert_error(
	const struct fixture *f, enum error_code code, const char *text)
{
	if (f->err.code != code || !strstr(f->err.text, text))
		fail_msg("%s: %s", error_code_name(f->err.code), f->err.text);
}

static int create(struct fixture *f, const char *name, const struct object_id *known,
	struct object_id *id)
{
	error_clear(&f->err);
	return backend_create(f->backend, name, MIB, known, record, f, id, &f->err);
}

static void an_unknown_driver_is_refused(void **state)
{
	struct fixture *f = *state;
	struct backend_settings settings = f->settings;
	struct backend *backend = NULL;

	settings.volume_driver = (char *)"tape";
	assert_int_equal(backend_open(&settings, &backend, &f->err), -1);
	assert_error(f, ERR_CONFIG, "unknown volume_driver 'tape'");
	settings.volume_driver = NULL;
	assert_int_equal(backend_open(&settings, &backend, &f->err), -1);
	assert_error(f, ERR_CONFIG, "unknown volume_driver ''");
	assert_null(backend);
	assert_ptr_equal(backend_settings_of(f->backend), &f->settings);
}

static void the_names_of_all_drivers_are_listed(void **state)
{
	const char *const *names = backend_driver_names();
	size_t count = 0;

	(void)state;
	for (size_t i = 0; backend_drivers[i]; i++) {
		bool listed = false;
		for (count = 0; names[count]; count++)
			listed |= strcmp(names[count], backend_drivers[i]->name) == 0;
		assert_true(listed);
	}
	assert_true(count >= 1);
}

static void object_names_follow_the_template(void **state)
{
	static const char *const bad_templates[] = { "volume", "%s-%s", "%d", "v%%-%s",
		"%s%n", "%", NULL };
	static const char *const bad_ids[] = { "", "..", "a/b", "a b", "%s", ".x" };
	struct fixture *f = *state;
	struct backend_settings settings = f->settings;
	char name[64] = "untouched";

	assert_int_equal(
		backend_object_name(&settings, "1f", name, sizeof(name), &f->err), 0);
	assert_string_equal(name, "volume-1f");
	settings.volume_name_template = (char *)"a-%s-z";
	assert_int_equal(
		backend_object_name(&settings, "1f", name, sizeof(name), &f->err), 0);
	assert_string_equal(name, "a-1f-z");
	settings.snapshot_name_template = (char *)"snap-%s";
	assert_int_equal(
		backend_snapshot_name(&settings, "1f", name, sizeof(name), &f->err), 0);
	assert_string_equal(name, "snap-1f");
	assert_int_equal(
		backend_snapshot_name(&settings, "../1f", name, sizeof(name), &f->err),
		-1);
	for (size_t i = 0; i < ARRAY_SIZE(bad_ids); i++) {
		assert_int_equal(backend_object_name(&settings, bad_ids[i], name,
					 sizeof(name), &f->err),
			-1);
		assert_error(f, ERR_INVALID_INPUT, "");
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_templates); i++) {
		settings.volume_name_template = (char *)bad_templates[i];
		assert_int_equal(backend_object_name(
					 &settings, "1f", name, sizeof(name), &f->err),
			-1);
		assert_error(f, ERR_CONFIG, "volume_name_template");
	}
	settings.volume_name_template = (char *)"dir/%s";
	assert_int_equal(
		backend_object_name(&settings, "1f", name, sizeof(name), &f->err), -1);
	settings.volume_name_template = (char *)"volume-%s";
	assert_int_equal(backend_object_name(&settings, "1f", name, 9, &f->err), -1);
	assert_error(f, ERR_INVALID_INPUT, "too long");
}

static void bad_names_and_sizes_are_refused(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 513, (uint64_t)1 << 62, UINT64_MAX };
	struct fixture *f = *state;
	struct object_id id = { "" };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(backend_create(f->backend, "v", sizes[i], NULL, record,
					 f, &id, &f->err),
			-1);
		assert_error(f, ERR_INVALID_INPUT, "cannot be the size");
	}
	assert_int_equal(create(f, "../v", NULL, &id), -1);
	assert_error(f, ERR_INVALID_INPUT, "cannot be the name");
	assert_int_equal(create(f, ".drover-new-v", NULL, &id), -1);
	assert_error(f, ERR_INVALID_INPUT, "cannot be the name");
	assert_int_equal(f->records, 0);
}

static void creating_twice_finds_the_first(void **state)
{
	struct fixture *f = *state;
	struct object_id id, again;

	assert_int_equal(create(f, "v", NULL, &id), 0);
	assert_int_equal(create(f, "v", &id, &again), 0);
	assert_string_equal(again.text, id.text);
	assert_int_equal(f->records, 1);
	assert_int_equal(backend_create(f->backend, "v", 2 * MIB, &id, record, f,
				 &again, &f->err),
		-1);
	assert_error(f, ERR_BACKEND, "has 1048576 bytes, fewer than the 2097152");
}

static void an_object_of_somebody_else_is_never_ours(void **state)
{
	struct fixture *f = *state;
	const struct object_id other = { "ino:5,btime:1.000000000" };
	struct object_id id, found;

	assert_int_equal(create(f, "v", NULL, &id), 0);
	assert_int_equal(create(f, "v", NULL, &found), -1);
	assert_error(f, ERR_EXISTS, "'v' that is not this volume's exists");
	assert_int_equal(create(f, "v", &(struct object_id) { "" }, &found), -1);
	assert_error(f, ERR_EXISTS, "is not this volume's");
	assert_int_equal(create(f, "v", &other, &found), -1);
	assert_error(f, ERR_EXISTS, "is not this volume's");
	assert_int_equal(
		backend_find(f->backend, "v", &other, &found, NULL, &f->err), -1);
	assert_error(f, ERR_EXISTS, "is not this volume's");
	assert_int_equal(backend_retire(f->backend, "v", &other, "t", &f->err), -1);
	assert_error(f, ERR_EXISTS, "is another object");
	assert_int_equal(backend_remove(f->backend, "v", &other, &f->err), -1);
	assert_error(f, ERR_EXISTS, "left alone");
	assert_true(is_there(f, "v"));
	/* Not in the way when ours was renamed before. */
	assert_int_equal(backend_retire(f->backend, "v", &id, "t", &f->err), 1);
	assert_int_equal(create(f, "v", NULL, &found), 0);
	assert_int_equal(backend_retire(f->backend, "v", &id, "t", &f->err), 0);
	assert_true(is_there(f, "v") && is_there(f, "t"));
}

/* A later kernel may tell more of a file, another mount less. */
static void an_identity_is_the_same_with_and_without_a_part(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{ "ino:5,btime:1.2,gen:7", "ino:5,btime:1.2,gen:7", true },
		{ "ino:5", "ino:5,btime:1.2", true },
		{ "ino:5,gen:7", "ino:5,btime:1.2,gen:7", true },
		{ "ino:5,gen:8", "ino:5,btime:1.2,gen:7", false },
		{ "ino:5,btime:1.2", "ino:5,btime:1.20", false },
		{ "ino:5", "ino:55", false },
		{ "ino:5,btime:1.2", "btime:1.2", false },
		{ "btime:1.2", "ino:5,btime:1.2", false },
		{ "aa,ino:5", "aa,ino:5,gen:7", true },
		{ "aa,ino:5", "ab,ino:5", false },
		{ "ino:5", "aa,ino:5", false },
		{ "uuid", "uuid", true },
		{ "uuid", "other", false },
		{ "", "", false },
		{ "", "ino:5", false },
	};
	struct fixture *f = *state;
	struct object_id a, b, id, found;
	char *btime, *gen;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(a.text, sizeof(a.text), "%s", cases[i].a);
		snprintf(b.text, sizeof(b.text), "%s", cases[i].b);
		assert_int_equal(object_id_is_same(&a, &b), cases[i].same);
		assert_int_equal(object_id_is_same(&b, &a), cases[i].same);
	}
	assert_int_equal(create(f, "v", NULL, &id), 0);
	btime = strstr(id.text, ",btime:");
	if (btime) {
		gen = strchr(btime + 1, ',');
		memmove(btime, gen ? gen : "", strlen(gen ? gen : "") + 1);
	}
	assert_int_equal(backend_find(f->backend, "v", &id, &found, NULL, &f->err), 1);
	assert_int_equal(create(f, "v", &id, &found), 0);
	assert_int_equal(backend_retire(f->backend, "v", &id, "t", &f->err), 1);
	assert_int_equal(backend_remove(f->backend, "t", &id, &f->err), 1);
}

static void find_tells_identity_and_size(void **state)
{
	struct fixture *f = *state;
	struct object_id id, found = { "" };
	uint64_t size = 0;

	assert_int_equal(
		backend_find(f->backend, "v", NULL, &found, &size, &f->err), 0);
	assert_int_equal(create(f, "v", NULL, &id), 0);
	assert_int_equal(
		backend_find(f->backend, "v", NULL, &found, &size, &f->err), 1);
	assert_string_equal(found.text, id.text);
	assert_int_equal(size, MIB);
	assert_int_equal(backend_find(f->backend, "v", &id, &found, NULL, &f->err), 1);
}

static void retiring_and_removing_can_be_done_again(void **state)
{
	struct fixture *f = *state;
	struct object_id id;

	assert_int_equal(create(f, "v", NULL, &id), 0);
	assert_int_equal(backend_retire(f->backend, "v", &id, "t", &f->err), 1);
	assert_int_equal(backend_retire(f->backend, "v", &id, "t", &f->err), 0);
	assert_true(is_there(f, "t"));
	assert_int_equal(backend_remove(f->backend, "t", &id, NULL), 1);
	assert_int_equal(backend_remove(f->backend, "t", &id, NULL), 0);
	assert_false(is_there(f, "t"));
}

static void nothing_is_touched_without_an_identity(void **state)
{
	struct fixture *f = *state;
	const struct object_id none = { "" };
	struct endpoint end;
	struct object_id id;

	assert_int_equal(create(f, "v", NULL, &id), 0);
	assert_int_equal(backend_retire(f->backend, "v", &none, "t", &f->err), -1);
	assert_error(f, ERR_INVALID_INPUT, "identity");
	assert_int_equal(backend_remove(f->backend, "v", &none, &f->err), -1);
	assert_error(f, ERR_INVALID_INPUT, "identity");
	assert_int_equal(backend_endpoint(f->backend, "v", &none, &end, &f->err), -1);
	assert_error(f, ERR_INVALID_INPUT, "identity");
	assert_true(is_there(f, "v"));
	assert_int_equal(backend_endpoint(f->backend, "v", &id, &end, &f->err), 0);
}

static void stats_come_from_the_driver(void **state)
{
	struct fixture *f = *state;
	struct backend_stats stats;

	assert_int_equal(backend_stats(f->backend, &stats, &f->err), 0);
	assert_true(stats.free_bytes <= stats.total_bytes);
	assert_true(strlen(stats.location) > 3);
}

static void cloning_is_done_or_not_possible(void **state)
{
	struct fixture *f = *state;
	struct object_id a, b;
	struct endpoint from, to;
	int cloned;

	assert_int_equal(create(f, "a", NULL, &a), 0);
	assert_int_equal(create(f, "b", NULL, &b), 0);
	assert_int_equal(backend_endpoint(f->backend, "a", &a, &from, &f->err), 0);
	assert_int_equal(backend_endpoint(f->backend, "b", &b, &to, &f->err), 0);
	cloned = backend_clone(f->backend, &from, &to, &f->err);
	assert_true(cloned == 0 || cloned == 1);
	snprintf(to.path, sizeof(to.path), "%.200s/none", f->scratch.path);
	assert_int_equal(backend_clone(f->backend, &from, &to, &f->err), -1);
	assert_error(f, ERR_BACKEND, "cannot open");
}

#ifdef DROVER_FAULTS
static void create_in_a_child_that_dies(struct fixture *f, const char *point)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct object_id id;
		char faults[64];
		snprintf(faults, sizeof(faults), "%s=kill", point);
		setenv("DROVER_FAULTS", faults, 1);
		_exit(create(f, "v", NULL, &id) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void read_journal(struct fixture *f, struct object_id *known)
{
	memset(known, 0, sizeof(*known));
	(void)!pread(f->journal, known, sizeof(*known), 0);
}

static void a_create_that_was_killed_is_done_again(void **state)
{
	static const struct {
		const char *point;
		bool recorded, named; /* when it died */
	} cases[] = {
		{ "file.create.sized", false, false },
		{ "file.create.recorded", true, false },
		{ "file.create.renamed", true, true },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct object_id known, id, last;

		assert_int_equal(ftruncate(f->journal, 0), 0);
		f->records = 0;
		create_in_a_child_that_dies(f, cases[i].point);
		read_journal(f, &known);
		assert_int_equal(known.text[0] != '\0', cases[i].recorded);
		assert_int_equal(is_there(f, "v"), cases[i].named);
		if (create(f, "v", &known, &id) < 0)
			fail_msg("%s: %s", cases[i].point, f->err.text);
		assert_int_equal(f->records, cases[i].named ? 0 : 1);
		read_journal(f, &last);
		assert_string_equal(last.text, id.text);
		assert_int_equal(
			backend_find(f->backend, "v", &id, &last, NULL, &f->err), 1);
		assert_false(is_there(f, ".drover-new-v"));
		assert_int_equal(backend_remove(f->backend, "v", &id, &f->err), 1);
	}
}

static void an_abandoned_create_is_forgotten(void **state)
{
	struct fixture *f = *state;

	create_in_a_child_that_dies(f, "file.create.recorded");
	assert_true(is_there(f, ".drover-new-v"));
	assert_int_equal(backend_forget(f->backend, "v", NULL, &f->err), 0);
	assert_false(is_there(f, ".drover-new-v"));
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_unknown_driver_is_refused),
		TEST(the_names_of_all_drivers_are_listed),
		TEST(object_names_follow_the_template),
		TEST(bad_names_and_sizes_are_refused),
		TEST(creating_twice_finds_the_first),
		TEST(an_object_of_somebody_else_is_never_ours),
		TEST(an_identity_is_the_same_with_and_without_a_part),
		TEST(find_tells_identity_and_size),
		TEST(retiring_and_removing_can_be_done_again),
		TEST(nothing_is_touched_without_an_identity),
		TEST(stats_come_from_the_driver),
		TEST(cloning_is_done_or_not_possible),
#ifdef DROVER_FAULTS
		TEST(a_create_that_was_killed_is_done_again),
		TEST(an_abandoned_create_is_forgotten),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
