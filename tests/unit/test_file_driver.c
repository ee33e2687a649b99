/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/scratch.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "common/auto.h"
#include "volume-manager/backend.h"

#define MIB ((uint64_t)1 << 20)

struct fixture {
	struct scratch scratch;
	char directory[256];
	struct backend_settings settings;
	void *state;
	struct object_id recorded;
	unsigned records;
	bool refuse; /* to record */
	struct error err;
};

static const struct backend_driver *const driver = &file_driver;

static int record(void *arg, const struct object_id *id, struct error *err)
{
	struct fixture *f = arg;

	f->recorded = *id;
	f->records++;
	if (f->refuse)
		return error_set(err, ERR_FENCED, "refused by the test");
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->scratch);
	snprintf(f->directory, sizeof(f->directory), "%.200s/volumes", f->scratch.path);
	assert_int_equal(mkdir(f->directory, 0700), 0);
	f->settings.name = (char *)"fast";
	f->settings.file_directory = f->directory;
	if (driver->open(&f->settings, &f->state, &f->err) < 0)
		fail_msg("%s", f->err.text);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unsetenv("DROVER_FAULTS");
	if (f->state)
		driver->close(f->state);
	scratch_remove(&f->scratch);
	free(f);
	return 0;
}

static const char *path_of(const struct fixture *f, const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.200s/%s", f->directory, name);
	return path;
}

static void touch(const struct fixture *f, const char *name)
{
	int fd = open(path_of(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static bool is_there(const struct fixture *f, const char *name)
{
	struct stat st;

	return lstat(path_of(f, name), &st) == 0;
}

static int create(struct fixture *f, const char *name, struct object_id *id)
{
	return driver->create(f->state, name, MIB, record, f, id, &f->err);
}

static void assert_error(
	const struct fixture *f, enum error_code code, const char *text)
{
	if (f->err.code != code || !strstr(f->err.text, text))
		fail_msg("%s: %s", error_code_name(f->err.code), f->err.text);
}

static void a_new_object_is_sparse_private_and_found(void **state)
{
	struct fixture *f = *state;
	struct object_id id, found;
	struct stat st;
	uint64_t size = 0;

	assert_int_equal(create(f, "volume-1", &id), 0);
	assert_int_equal(f->records, 1);
	assert_string_equal(f->recorded.text, id.text);
	assert_int_equal(driver->find(f->state, "volume-1", &found, &size, &f->err), 1);
	assert_string_equal(found.text, id.text);
	assert_int_equal(size, MIB);
	assert_int_equal(strncmp(id.text, "ino:", 4), 0);
	assert_null(strchr(id.text, ' '));
	assert_int_equal(lstat(path_of(f, "volume-1"), &st), 0);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_false(is_there(f, ".drover-new-volume-1"));
	assert_int_equal(driver->find(f->state, "volume-2", &found, &size, &f->err), 0);
}

static void an_existing_name_is_never_taken(void **state)
{
	struct fixture *f = *state;
	struct object_id id;

	touch(f, "volume-1");
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_error(f, ERR_EXISTS, "volume-1' exists already");
	assert_int_equal(f->records, 0);
	assert_false(is_there(f, ".drover-new-volume-1"));
}

static void what_cannot_be_recorded_is_undone(void **state)
{
	struct fixture *f = *state;
	struct object_id id = { "untouched" };

	f->refuse = true;
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_error(f, ERR_FENCED, "refused by the test");
	assert_string_equal(id.text, "untouched");
	assert_false(is_there(f, "volume-1"));
	assert_false(is_there(f, ".drover-new-volume-1"));
}

static void the_identity_survives_a_rename_but_not_a_replacement(void **state)
{
	struct fixture *f = *state;
	struct object_id id, found, other;
	uint64_t size;

	assert_int_equal(create(f, "volume-1", &id), 0);
	assert_int_equal(
		driver->rename(f->state, "volume-1", &id, "trash-1", &f->err), 0);
	assert_int_equal(driver->find(f->state, "trash-1", &found, &size, &f->err), 1);
	assert_string_equal(found.text, id.text);
	assert_int_equal(driver->remove(f->state, "trash-1", &id, &f->err), 0);
	/* The inode number is likely to be used again. */
	assert_int_equal(create(f, "trash-1", &other), 0);
	assert_string_not_equal(other.text, id.text);
	assert_int_equal(driver->remove(f->state, "trash-1", &id, &f->err), -1);
	assert_error(f, ERR_NOT_FOUND, "does not exist");
	assert_true(is_there(f, "trash-1"));
}

static void a_rename_never_replaces(void **state)
{
	struct fixture *f = *state;
	struct object_id id;

	assert_int_equal(create(f, "volume-1", &id), 0);
	touch(f, "trash-1");
	assert_int_equal(
		driver->rename(f->state, "volume-1", &id, "trash-1", &f->err), -1);
	assert_error(f, ERR_EXISTS, "trash-1' exists already");
	assert_true(is_there(f, "volume-1"));
}

static void a_rename_that_was_half_done_by_links_is_finished(void **state)
{
	struct fixture *f = *state;
	struct object_id id;
	char from[PATH_MAX];

	assert_int_equal(create(f, "volume-1", &id), 0);
	snprintf(from, sizeof(from), "%s", path_of(f, "volume-1"));
	assert_int_equal(link(from, path_of(f, "trash-1")), 0);
	assert_int_equal(
		driver->rename(f->state, "volume-1", &id, "trash-1", &f->err), 0);
	assert_false(is_there(f, "volume-1"));
	assert_true(is_there(f, "trash-1"));
}

static void the_wrong_identity_touches_nothing(void **state)
{
	struct fixture *f = *state;
	struct object_id id, wrong = { "ino:1,btime:1.000000001" };
	struct endpoint end;

	assert_int_equal(create(f, "volume-1", &id), 0);
	assert_int_equal(
		driver->rename(f->state, "volume-1", &wrong, "t", &f->err), -1);
	assert_error(f, ERR_NOT_FOUND, "volume-1");
	assert_int_equal(driver->remove(f->state, "volume-1", &wrong, &f->err), -1);
	assert_error(f, ERR_NOT_FOUND, "volume-1");
	assert_int_equal(
		driver->endpoint(f->state, "volume-1", &wrong, &end, &f->err), -1);
	assert_error(f, ERR_NOT_FOUND, "volume-1");
	assert_true(is_there(f, "volume-1"));
	assert_int_equal(driver->endpoint(f->state, "volume-1", &id, &end, &f->err), 0);
	assert_string_equal(end.path, path_of(f, "volume-1"));
	assert_true(end.zero_when_new);
}

static void only_plain_names_are_taken(void **state)
{
	struct fixture *f = *state;
	char name[300];
	struct object_id id = { "ino:1" };
	const char *const bad[] = { "", ".", "..", ".hidden", "a/b", "../x", "/etc/x",
		name };
	uint64_t size;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(create(f, bad[i], &id), -1);
		assert_error(f, ERR_INVALID_INPUT, "");
		assert_int_equal(
			driver->find(f->state, bad[i], &id, &size, &f->err), -1);
		assert_int_equal(driver->remove(f->state, bad[i], &id, &f->err), -1);
		assert_error(f, ERR_INVALID_INPUT, "");
		assert_int_equal(
			driver->rename(f->state, "a", &id, bad[i], &f->err), -1);
		assert_error(f, ERR_INVALID_INPUT, "");
		assert_int_equal(driver->forget(f->state, bad[i], &f->err), -1);
		assert_error(f, ERR_INVALID_INPUT, "");
	}
}

static void links_and_directories_are_not_objects(void **state)
{
	struct fixture *f = *state;
	struct object_id id = { "ino:1" };
	uint64_t size;

	assert_int_equal(symlink("/etc/passwd", path_of(f, "volume-1")), 0);
	assert_int_equal(driver->find(f->state, "volume-1", &id, &size, &f->err), -1);
	assert_error(f, ERR_BACKEND, "is not a regular file");
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_int_equal(mkdir(path_of(f, "volume-2"), 0700), 0);
	assert_int_equal(driver->remove(f->state, "volume-2", &id, &f->err), -1);
	assert_error(f, ERR_BACKEND, "is not a regular file");
	/* A link in the place of the temporary file is not followed. */
	assert_int_equal(symlink("/tmp/no-such", path_of(f, ".drover-new-v")), 0);
	assert_int_equal(create(f, "v", &id), 0);
	assert_int_equal(access("/tmp/no-such", F_OK), -1);
}

static void leftovers_are_forgotten(void **state)
{
	struct fixture *f = *state;
	struct object_id id;

	touch(f, ".drover-new-volume-1");
	assert_int_equal(driver->forget(f->state, "volume-1", &f->err), 0);
	assert_false(is_there(f, ".drover-new-volume-1"));
	assert_int_equal(driver->forget(f->state, "volume-1", &f->err), 0);
	touch(f, ".drover-new-volume-1");
	assert_int_equal(create(f, "volume-1", &id), 0);
	assert_false(is_there(f, ".drover-new-volume-1"));
}

static void stats_tell_space_and_place(void **state)
{
	struct fixture *f = *state;
	struct backend_stats stats, other_stats;
	struct backend_settings other = f->settings;
	struct statvfs vfs;
	void *second;

	assert_int_equal(driver->stats(f->state, &stats, &f->err), 0);
	assert_int_equal(statvfs(f->directory, &vfs), 0);
	assert_int_equal(stats.total_bytes, vfs.f_blocks * vfs.f_frsize);
	assert_true(stats.free_bytes <= stats.total_bytes && stats.free_bytes > 0);
	assert_true(stats.thin);
	other.file_directory = f->scratch.path;
	assert_int_equal(driver->open(&other, &second, &f->err), 0);
	assert_int_equal(driver->stats(second, &other_stats, &f->err), 0);
	driver->close(second);
	assert_string_equal(stats.location, other_stats.location);
	other.file_directory = (char *)"/dev/shm";
	if (driver->open(&other, &second, &f->err) < 0)
		skip_because("/dev/shm is missing");
	assert_int_equal(driver->stats(second, &other_stats, &f->err), 0);
	driver->close(second);
	assert_string_not_equal(stats.location, other_stats.location);
}

static void a_vanished_directory_is_named(void **state)
{
	struct fixture *f = *state;
	struct backend_stats stats;
	struct object_id id;
	uint64_t size;
	char away[300];

	snprintf(away, sizeof(away), "%s-away", f->directory);
	assert_int_equal(rename(f->directory, away), 0);
	assert_int_equal(driver->stats(f->state, &stats, &f->err), -1);
	assert_error(f, ERR_BACKEND, "of backend 'fast' has vanished");
	/* Another directory in its place is not it either. */
	assert_int_equal(mkdir(f->directory, 0700), 0);
	assert_int_equal(driver->stats(f->state, &stats, &f->err), -1);
	assert_error(f, ERR_BACKEND, "has vanished");
	assert_int_equal(driver->find(f->state, "v", &id, &size, &f->err), -1);
	assert_error(f, ERR_BACKEND, "has vanished");
	assert_int_equal(create(f, "v", &id), -1);
	assert_error(f, ERR_BACKEND, "has vanished");
}

static void unusable_directories_are_refused(void **state)
{
	struct fixture *f = *state;
	struct backend_settings settings = f->settings;
	void *opened;

	settings.file_directory = NULL;
	assert_int_equal(driver->open(&settings, &opened, &f->err), -1);
	assert_error(f, ERR_CONFIG, "backend 'fast' needs");
	settings.file_directory = (char *)"relative";
	assert_int_equal(driver->open(&settings, &opened, &f->err), -1);
	assert_error(f, ERR_CONFIG, "backend 'fast' needs");
	settings.file_directory = (char *)"/tmp/no-such-directory-here";
	assert_int_equal(driver->open(&settings, &opened, &f->err), -1);
	assert_error(f, ERR_BACKEND, "of backend 'fast': No such file");
	assert_int_equal(access("/tmp/no-such-directory-here", F_OK), -1);
	settings.file_directory = (char *)"/etc/passwd";
	assert_int_equal(driver->open(&settings, &opened, &f->err), -1);
	assert_error(f, ERR_BACKEND, "Not a directory");
}

static void a_read_only_directory_is_refused(void **state)
{
	struct fixture *f = *state;
	struct scratch sealed;
	void *opened;
	int failed;

	scratch_make(&sealed);
	sealed.mounted = mount("none", sealed.path, "tmpfs", MS_RDONLY, NULL) == 0;
	if (!sealed.mounted && geteuid() == 0) {
		scratch_remove(&sealed);
		skip_because("cannot mount a tmpfs");
	}
	if (!sealed.mounted)
		chmod(sealed.path, 0500);
	f->settings.file_directory = sealed.path;
	failed = driver->open(&f->settings, &opened, &f->err);
	f->settings.file_directory = f->directory;
	scratch_remove(&sealed);
	assert_int_equal(failed, -1);
	assert_error(f, ERR_BACKEND, "of backend 'fast' is not writable: ");
}

static void too_large_a_file_is_an_error_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct object_id id;

	assert_int_equal(driver->create(f->state, "v", ((uint64_t)1 << 62) - 512,
				 record, f, &id, &f->err),
		-1);
	assert_error(f, ERR_BACKEND, "cannot size '/");
	assert_false(is_there(f, ".drover-new-v"));
}

static void clone_if(struct fixture *f, int expected)
{
	struct object_id from_id, to_id;
	struct endpoint from, to;
	struct copy_options options = { .size = MIB };
	struct copy_result result;

	assert_int_equal(create(f, "from", &from_id), 0);
	assert_int_equal(create(f, "to", &to_id), 0);
	AUTO(fd) int fd = open(path_of(f, "from"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "data", 4, 65536), 4);
	assert_int_equal(
		driver->endpoint(f->state, "from", &from_id, &from, &f->err), 0);
	assert_int_equal(driver->endpoint(f->state, "to", &to_id, &to, &f->err), 0);
	assert_int_equal(driver->clone(f->state, &from, &to, &f->err), expected);
	if (expected != 1)
		return;
	assert_int_equal(copy_verify_clone(&from, &to, &options, &result, &f->err), 0);
	assert_int_equal(result.skipped, MIB);
	/* A clone keeps its identity. */
	assert_int_equal(driver->endpoint(f->state, "to", &to_id, &to, &f->err), 0);
}

static void clones_where_the_file_system_can(void **state)
{
	struct fixture *f = *state;
	struct scratch xfs;

	scratch_make(&xfs);
	if (!scratch_xfs(&xfs)) {
		scratch_remove(&xfs);
		skip_because("cannot mount an xfs");
	}
	driver->close(f->state);
	f->settings.file_directory = xfs.path;
	snprintf(f->directory, sizeof(f->directory), "%.200s", xfs.path);
	assert_int_equal(driver->open(&f->settings, &f->state, &f->err), 0);
	clone_if(f, 1);
	driver->close(f->state);
	f->state = NULL;
	scratch_remove(&xfs);
}

static void says_no_where_it_cannot_clone(void **state)
{
	struct fixture *f = *state;
	struct scratch memory;

	scratch_make(&memory);
	if (!scratch_mount(&memory, "tmpfs", "size=16m")) {
		scratch_remove(&memory);
		skip_because("cannot mount a tmpfs");
	}
	driver->close(f->state);
	f->settings.file_directory = memory.path;
	snprintf(f->directory, sizeof(f->directory), "%.200s", memory.path);
	assert_int_equal(driver->open(&f->settings, &f->state, &f->err), 0);
	clone_if(f, 0);
	driver->close(f->state);
	f->state = NULL;
	scratch_remove(&memory);
}

#ifdef DROVER_FAULTS
static void a_failure_on_the_way_leaves_no_temporary_file(void **state)
{
	static const char *const points[] = { "file.create.sized",
		"file.create.recorded" };
	struct fixture *f = *state;
	struct object_id id;
	char faults[64];

	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		snprintf(faults, sizeof(faults), "%s=fail", points[i]);
		setenv("DROVER_FAULTS", faults, 1);
		assert_int_equal(create(f, "v", &id), -1);
		assert_error(f, ERR_IO, points[i]);
		assert_false(is_there(f, ".drover-new-v"));
		assert_false(is_there(f, "v"));
	}
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_object_is_sparse_private_and_found),
		TEST(an_existing_name_is_never_taken),
		TEST(what_cannot_be_recorded_is_undone),
		TEST(the_identity_survives_a_rename_but_not_a_replacement),
		TEST(a_rename_never_replaces),
		TEST(a_rename_that_was_half_done_by_links_is_finished),
		TEST(the_wrong_identity_touches_nothing),
		TEST(only_plain_names_are_taken),
		TEST(links_and_directories_are_not_objects),
		TEST(leftovers_are_forgotten),
		TEST(stats_tell_space_and_place),
		TEST(a_vanished_directory_is_named),
		TEST(unusable_directories_are_refused),
		TEST(a_read_only_directory_is_refused),
		TEST(too_large_a_file_is_an_error_and_leaves_nothing),
		TEST(clones_where_the_file_system_can),
		TEST(says_no_where_it_cannot_clone),
#ifdef DROVER_FAULTS
		TEST(a_failure_on_the_way_leaves_no_temporary_file),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
