/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "common/auto.h"
#include "common/text.h"
#include "volume-manager/backend.h"

#define MIB ((uint64_t)1 << 20)

struct fixture {
	struct scratch scratch;
	char directory[256];
	char state_path[256]; /* not in settings: most tests keep no record */
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
	snprintf(f->state_path, sizeof(f->state_path), "%.200s/state", f->scratch.path);
	assert_int_equal(mkdir(f->state_path, 0700), 0);
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

/* What was flushed, in order, and whether a path existed at the last flush. */
static struct {
	ino_t flushed[32];
	size_t count;
	const char *watched;
	bool was_there;
} flushes;

/* In place of the C library's. */
int fsync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && flushes.count < ARRAY_SIZE(flushes.flushed))
		flushes.flushed[flushes.count++] = st.st_ino;
	if (flushes.watched)
		flushes.was_there = access(flushes.watched, F_OK) == 0;
	return (int)syscall(SYS_fsync, fd);
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_ino;
}

/* When it was flushed last; it must have been. */
static size_t flush_of(const char *path)
{
	ino_t ino = inode_of(path);

	for (size_t i = flushes.count; i > 0; i--)
		if (flushes.flushed[i - 1] == ino)
			return i - 1;
	fail_msg("'%s' was not flushed", path);
	return 0;
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
	assert_int_equal(
		driver->find(f->state, "volume-1", NULL, &found, &size, &f->err), 1);
	assert_string_equal(found.text, id.text);
	assert_int_equal(size, MIB);
	assert_int_equal(strncmp(id.text, "ino:", 4), 0);
	assert_null(strchr(id.text, ' '));
	assert_int_equal(lstat(path_of(f, "volume-1"), &st), 0);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_false(is_there(f, ".drover-new-volume-1"));
	assert_int_equal(
		driver->find(f->state, "volume-2", NULL, &found, &size, &f->err), 0);
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
	assert_int_equal(
		driver->find(f->state, "trash-1", NULL, &found, &size, &f->err), 1);
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
			driver->find(f->state, bad[i], NULL, &id, &size, &f->err), -1);
		assert_int_equal(driver->remove(f->state, bad[i], &id, &f->err), -1);
		assert_error(f, ERR_INVALID_INPUT, "");
		assert_int_equal(
			driver->rename(f->state, "a", &id, bad[i], &f->err), -1);
		assert_error(f, ERR_INVALID_INPUT, "");
		assert_int_equal(driver->forget(f->state, bad[i], NULL, &f->err), -1);
		assert_error(f, ERR_INVALID_INPUT, "");
	}
}

static void links_and_directories_are_not_objects(void **state)
{
	struct fixture *f = *state;
	struct object_id id = { "ino:1" };
	uint64_t size;

	assert_int_equal(symlink("/etc/passwd", path_of(f, "volume-1")), 0);
	assert_int_equal(
		driver->find(f->state, "volume-1", NULL, &id, &size, &f->err), -1);
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
	assert_int_equal(driver->forget(f->state, "volume-1", NULL, &f->err), 0);
	assert_false(is_there(f, ".drover-new-volume-1"));
	assert_int_equal(driver->forget(f->state, "volume-1", NULL, &f->err), 0);
	touch(f, ".drover-new-volume-1");
	assert_int_equal(create(f, "volume-1", &id), 0);
	assert_false(is_there(f, ".drover-new-volume-1"));
}

static void forgetting_is_durable(void **state)
{
	struct fixture *f = *state;
	char temporary[PATH_MAX];

	snprintf(temporary, sizeof(temporary), "%s", path_of(f, ".drover-new-v"));
	touch(f, ".drover-new-v");
	flushes.count = 0;
	flushes.watched = temporary;
	flushes.was_there = true;
	assert_int_equal(driver->forget(f->state, "v", NULL, &f->err), 0);
	flushes.watched = NULL;
	assert_int_equal(flush_of(f->directory), 0);
	assert_false(flushes.was_there);
	/* Again, as an earlier attempt may have crashed before its flush. */
	flushes.count = 0;
	assert_int_equal(driver->forget(f->state, "v", NULL, &f->err), 0);
	assert_int_equal(flush_of(f->directory), 0);
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
	assert_int_equal(driver->find(f->state, "v", NULL, &id, &size, &f->err), -1);
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

static void grows_durably_and_never_shrinks(void **state)
{
	struct fixture *f = *state;
	struct object_id id, found;
	struct stat st;
	uint64_t size;

	assert_int_equal(create(f, "v", &id), 0);
	flushes.count = 0;
	assert_int_equal(driver->grow(f->state, "v", &id, 3 * MIB, &f->err), 0);
	assert_true(flush_of(path_of(f, "v")) < flushes.count);
	assert_int_equal(stat(path_of(f, "v"), &st), 0);
	assert_int_equal(st.st_size, 3 * MIB);
	/* Again, as after a crash: durable once more, and of the same size. */
	flushes.count = 0;
	assert_int_equal(driver->grow(f->state, "v", &id, 2 * MIB, &f->err), 0);
	assert_true(flush_of(path_of(f, "v")) < flushes.count);
	assert_int_equal(stat(path_of(f, "v"), &st), 0);
	assert_int_equal(st.st_size, 3 * MIB);
	/* It is the same object, and another one of that name is not touched. */
	assert_int_equal(unlink(path_of(f, "v")), 0);
	assert_int_equal(driver->grow(f->state, "v", &id, 4 * MIB, &f->err), -1);
	assert_error(f, ERR_NOT_FOUND, "");
	assert_int_equal(create(f, "v", &found), 0);
	assert_int_equal(driver->grow(f->state, "v", &id, 4 * MIB, &f->err), -1);
	assert_error(f, ERR_NOT_FOUND, "");
	assert_int_equal(stat(path_of(f, "v"), &st), 0);
	size = (uint64_t)st.st_size;
	assert_int_equal(size, MIB);
}

/* Of a source that is smaller: what is above it stays zeroes. */
static void clone_into_a_larger_one(struct fixture *f)
{
	struct object_id id;
	struct endpoint from, to;
	char got[4] = "";

	assert_int_equal(create(f, "small", &id), 0);
	AUTO(fd) int fd = open(path_of(f, "small"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "data", 4, MIB - 4), 4);
	assert_int_equal(driver->endpoint(f->state, "small", &id, &from, &f->err), 0);
	assert_int_equal(create(f, "large", &id), 0);
	assert_int_equal(driver->grow(f->state, "large", &id, 2 * MIB, &f->err), 0);
	assert_int_equal(driver->endpoint(f->state, "large", &id, &to, &f->err), 0);
	assert_int_equal(driver->clone(f->state, &from, &to, &f->err), 1);
	AUTO(fd) int made = open(path_of(f, "large"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(lseek(made, 0, SEEK_END), 2 * MIB);
	assert_int_equal(pread(made, got, 4, MIB - 4), 4);
	assert_memory_equal(got, "data", 4);
	assert_int_equal(lseek(made, MIB, SEEK_DATA), -1);
	/* Never the other way round. */
	assert_int_equal(driver->clone(f->state, &to, &from, &f->err), 0);
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
	clone_into_a_larger_one(f);
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

/* ---- the marker and its record ---- */

static int reopen(struct fixture *f)
{
	void *opened = NULL;

	f->settings.state_path = f->state_path;
	error_clear(&f->err);
	if (driver->open(&f->settings, &opened, &f->err) < 0)
		return -1;
	driver->close(opened);
	return 0;
}

static void must_reopen(struct fixture *f)
{
	if (reopen(f) < 0)
		fail_msg("%s", f->err.text);
}

static const char *record_of(const struct fixture *f, const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.200s/backends/%s", f->state_path, name);
	return path;
}

static const char *marker_of(const struct fixture *f)
{
	return path_of(f, ".drover-backend");
}

static void read_line(const char *path, char out[UUID_TEXT_SIZE])
{
	char line[64];
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, line, sizeof(line)), UUID_TEXT_SIZE);
	assert_int_equal(line[UUID_TEXT_SIZE - 1], '\n');
	line[UUID_TEXT_SIZE - 1] = '\0';
	assert_true(uuid_is(line));
	memcpy(out, line, UUID_TEXT_SIZE);
}

static void write_line(const char *path, const char *text)
{
	AUTO(fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "%s", text), strlen(text));
}

static size_t count_names(const char *path)
{
	DIR *dir = opendir(path);
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

/* One marker, one record, equal, and nothing else. */
static void assert_claimed(const struct fixture *f)
{
	char marker[UUID_TEXT_SIZE], record[UUID_TEXT_SIZE], records[PATH_MAX];

	read_line(marker_of(f), marker);
	read_line(record_of(f, "fast"), record);
	assert_string_equal(marker, record);
	snprintf(records, sizeof(records), "%.200s/backends", f->state_path);
	assert_int_equal(count_names(records), 1);
	assert_int_equal(count_names(f->directory), 1);
}

static void forget_all(const struct fixture *f)
{
	unlink(marker_of(f));
	unlink(record_of(f, "fast"));
}

static void without_a_state_path_there_is_no_marker(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(count_names(f->directory), 0);
	assert_int_equal(count_names(f->state_path), 0);
}

static void the_first_open_marks_and_records(void **state)
{
	struct fixture *f = *state;
	char first[UUID_TEXT_SIZE], again[UUID_TEXT_SIZE];
	struct stat st;

	must_reopen(f);
	assert_claimed(f);
	assert_int_equal(stat(record_of(f, ""), &st), 0);
	assert_int_equal(st.st_mode & 07777 & ~0750, 0);
	read_line(marker_of(f), first);
	flushes.count = 0;
	must_reopen(f);
	assert_int_equal(flushes.count, 0);
	read_line(marker_of(f), again);
	assert_string_equal(first, again);
	assert_claimed(f);
}

static void the_marker_is_durable_before_the_record(void **state)
{
	struct fixture *f = *state;
	size_t marker, directory, record, records;

	flushes.count = 0;
	must_reopen(f);
	marker = flush_of(marker_of(f));
	directory = flush_of(f->directory);
	record = flush_of(record_of(f, "fast"));
	records = flush_of(record_of(f, ""));
	assert_true(marker < directory && directory < record && record < records);
	assert_true(flush_of(f->state_path) < records);
	/* An adopted one too: its maker may have crashed before. */
	assert_int_equal(unlink(record_of(f, "fast")), 0);
	flushes.count = 0;
	must_reopen(f);
	assert_true(flush_of(f->directory) < flush_of(record_of(f, "fast")));
}

static void a_directory_without_its_marker_is_refused(void **state)
{
	struct fixture *f = *state;
	char expected[1024];

	must_reopen(f);
	assert_int_equal(unlink(marker_of(f)), 0);
	assert_int_equal(reopen(f), -1);
	snprintf(expected, sizeof(expected),
		"directory '%s' of backend 'fast' is not the one used before: its"
		" marker '.drover-backend' is missing (is its file system mounted?)",
		f->directory);
	assert_error(f, ERR_BACKEND, expected);
	assert_int_equal(count_names(f->directory), 0);
	/* As the manual page says. */
	assert_int_equal(unlink(record_of(f, "fast")), 0);
	must_reopen(f);
	assert_claimed(f);
}

static void a_bare_mount_point_is_refused_until_it_is_mounted(void **state)
{
	struct fixture *f = *state;
	struct scratch disk;
	struct error refusal;
	int opened[3];
	size_t names;

	scratch_make(&disk);
	if (!scratch_mount(&disk, "tmpfs", "size=1m") ||
		mount(disk.path, f->directory, NULL, MS_BIND, NULL) < 0) {
		scratch_remove(&disk);
		skip_because("cannot mount a tmpfs");
	}
	opened[0] = reopen(f);
	umount2(f->directory, MNT_DETACH);
	opened[1] = reopen(f);
	refusal = f->err;
	names = count_names(f->directory);
	mount(disk.path, f->directory, NULL, MS_BIND, NULL);
	opened[2] = reopen(f);
	umount2(f->directory, MNT_DETACH);
	scratch_remove(&disk);
	assert_int_equal(opened[0], 0);
	assert_int_equal(opened[1], -1);
	assert_non_null(strstr(refusal.text, "is its file system mounted?"));
	assert_int_equal(names, 0);
	assert_int_equal(opened[2], 0);
}

static void the_marker_of_another_backend_is_refused(void **state)
{
	struct fixture *f = *state;
	char marker[UUID_TEXT_SIZE];

	must_reopen(f);
	read_line(marker_of(f), marker);
	write_line(marker_of(f), "01234567-89ab-4cde-8f01-23456789abcd\n");
	assert_int_equal(reopen(f), -1);
	assert_error(f, ERR_BACKEND, "is not the one used before");
	assert_error(f, ERR_BACKEND, "'.drover-backend' is a different one");
	read_line(record_of(f, "fast"), marker);
	assert_string_not_equal(marker, "01234567-89ab-4cde-8f01-23456789abcd");
}

static void a_marker_without_a_record_is_adopted(void **state)
{
	static const char uuid[] = "01234567-89ab-4cde-8f01-23456789abcd";
	struct fixture *f = *state;
	char text[64], found[UUID_TEXT_SIZE];

	snprintf(text, sizeof(text), "%s\n", uuid);
	write_line(marker_of(f), text);
	must_reopen(f);
	assert_claimed(f);
	read_line(record_of(f, "fast"), found);
	assert_string_equal(found, uuid);
	/* Two backends may share a directory. */
	f->settings.name = (char *)"slow";
	must_reopen(f);
	read_line(record_of(f, "slow"), found);
	assert_string_equal(found, uuid);
	assert_true(access(record_of(f, "fast"), F_OK) == 0);
}

static void damaged_markers_and_records_are_refused(void **state)
{
	static const char *const bad[] = { "", "\n",
		"01234567-89ab-4cde-8f01-23456789abcd",
		"01234567-89ab-4cde-8f01-23456789abcdef\n",
		"01234567-89ab-4cde-8f01-23456789abcd\nx",
		"01234567+89ab-4cde-8f01-23456789abcd\n" };
	struct fixture *f = *state;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		write_line(marker_of(f), bad[i]);
		assert_int_equal(reopen(f), -1);
		assert_error(f, ERR_BACKEND, ".drover-backend' is not a line with");
		assert_int_equal(lstat(record_of(f, "fast"), &st), -1);
	}
	assert_int_equal(unlink(marker_of(f)), 0);
	must_reopen(f);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		write_line(record_of(f, "fast"), bad[i]);
		assert_int_equal(reopen(f), -1);
		assert_error(f, ERR_BACKEND, "backends/fast' is not a line with");
	}
	/* Nor is what a link points to. */
	forget_all(f);
	assert_int_equal(symlink("/etc/hostname", marker_of(f)), 0);
	assert_int_equal(reopen(f), -1);
	assert_error(f, ERR_BACKEND, "cannot read '");
}

static void a_state_path_that_cannot_be_written_is_named(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rmdir(f->state_path), 0);
	assert_int_equal(reopen(f), -1);
	assert_error(f, ERR_BACKEND, "state/backends': No such file");
	assert_int_equal(count_names(f->directory), 0);
}

static void a_sealed_directory_is_called_read_only_or_not_mounted(void **state)
{
	struct fixture *f = *state;
	struct scratch sealed;
	struct error first_err;
	int first, second;

	scratch_make(&sealed);
	sealed.mounted = mount("none", sealed.path, "tmpfs", MS_RDONLY, NULL) == 0;
	if (!sealed.mounted && geteuid() == 0) {
		scratch_remove(&sealed);
		skip_because("cannot mount a tmpfs");
	}
	if (!sealed.mounted)
		chmod(sealed.path, 0500);
	f->settings.file_directory = sealed.path;
	first = reopen(f);
	first_err = f->err;
	f->settings.file_directory = f->directory;
	must_reopen(f);
	f->settings.file_directory = sealed.path;
	second = reopen(f);
	scratch_remove(&sealed);
	assert_int_equal(first, -1);
	assert_int_equal(first_err.code, ERR_BACKEND);
	assert_non_null(strstr(first_err.text, "of backend 'fast' is not writable: "));
	assert_int_equal(second, -1);
	assert_error(f, ERR_BACKEND, "is its file system mounted?");
}

/* A child that opens once the other end of go is closed. */
static pid_t open_in_a_child(struct fixture *f, const char *faults, const int *go)
{
	pid_t pid = fork();
	char byte;

	if (pid == 0) {
		if (faults)
			setenv("DROVER_FAULTS", faults, 1);
		if (go) {
			close(go[1]);
			(void)!read(go[0], &byte, 1);
		}
		if (reopen(f) == 0)
			_exit(0);
		print_error("%s\n", f->err.text);
		_exit(1);
	}
	assert_true(pid > 0);
	return pid;
}

static int end_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void first_opens_at_once_agree(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 50; round++) {
		pid_t children[4];
		int go[2];

		assert_int_equal(pipe(go), 0);
		for (size_t i = 0; i < ARRAY_SIZE(children); i++)
			children[i] = open_in_a_child(f, NULL, go);
		close(go[0]);
		close(go[1]);
		for (size_t i = 0; i < ARRAY_SIZE(children); i++)
			assert_int_equal(end_of(children[i]), 0);
		must_reopen(f);
		assert_claimed(f);
		forget_all(f);
	}
}

#ifdef DROVER_FAULTS
/* Each place twice: for the marker and for the record. */
static const char *const open_points[] = { "file.open.synced#1", "file.open.renamed#1",
	"file.open.synced#2", "file.open.renamed#2" };

static void an_open_that_was_killed_is_done_again(void **state)
{
	struct fixture *f = *state;
	char faults[64], marker[UUID_TEXT_SIZE], again[UUID_TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(open_points); i++) {
		snprintf(faults, sizeof(faults), "%s=kill", open_points[i]);
		assert_int_equal(
			WTERMSIG(end_of(open_in_a_child(f, faults, NULL))), SIGKILL);
		assert_int_equal(access(marker_of(f), F_OK) == 0, i >= 1);
		assert_int_equal(access(record_of(f, "fast"), F_OK) == 0, i >= 3);
		if (i >= 1)
			read_line(marker_of(f), marker);
		must_reopen(f);
		assert_claimed(f);
		read_line(marker_of(f), again);
		if (i >= 1)
			assert_string_equal(marker, again);
		forget_all(f);
	}
}

static void an_open_that_failed_leaves_no_temporary_file(void **state)
{
	struct fixture *f = *state;
	char faults[64];

	for (size_t i = 0; i < ARRAY_SIZE(open_points); i++) {
		snprintf(faults, sizeof(faults), "%s=fail", open_points[i]);
		assert_int_equal(
			WEXITSTATUS(end_of(open_in_a_child(f, faults, NULL))), 1);
		assert_int_equal(count_names(f->directory), i >= 1);
		assert_int_equal(count_names(record_of(f, "")), i >= 3);
		forget_all(f);
	}
}

/* One is held while another does all of it, and takes its temporary file away. */
static void an_open_that_is_overtaken_agrees(void **state)
{
	struct fixture *f = *state;
	char faults[PATH_MAX], held[300], go[310];

	for (size_t i = 0; i < ARRAY_SIZE(open_points); i++) {
		snprintf(held, sizeof(held), "%.200s/held-%zu", f->scratch.path, i);
		snprintf(go, sizeof(go), "%s.go", held);
		snprintf(faults, sizeof(faults), "%s=hold:%s", open_points[i], held);
		pid_t child = open_in_a_child(f, faults, NULL);
		bool reached = scratch_await(held);
		int opened = reopen(f);
		write_line(go, "");
		assert_int_equal(end_of(child), 0);
		assert_true(reached);
		assert_int_equal(opened, 0);
		assert_claimed(f);
		must_reopen(f);
		forget_all(f);
	}
}

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
		TEST(forgetting_is_durable),
		TEST(stats_tell_space_and_place),
		TEST(a_vanished_directory_is_named),
		TEST(unusable_directories_are_refused),
		TEST(a_read_only_directory_is_refused),
		TEST(too_large_a_file_is_an_error_and_leaves_nothing),
		TEST(grows_durably_and_never_shrinks),
		TEST(clones_where_the_file_system_can),
		TEST(says_no_where_it_cannot_clone),
		TEST(without_a_state_path_there_is_no_marker),
		TEST(the_first_open_marks_and_records),
		TEST(the_marker_is_durable_before_the_record),
		TEST(a_directory_without_its_marker_is_refused),
		TEST(a_bare_mount_point_is_refused_until_it_is_mounted),
		TEST(the_marker_of_another_backend_is_refused),
		TEST(a_marker_without_a_record_is_adopted),
		TEST(damaged_markers_and_records_are_refused),
		TEST(a_state_path_that_cannot_be_written_is_named),
		TEST(a_sealed_directory_is_called_read_only_or_not_mounted),
		TEST(first_opens_at_once_agree),
#ifdef DROVER_FAULTS
		TEST(an_open_that_was_killed_is_done_again),
		TEST(an_open_that_failed_leaves_no_temporary_file),
		TEST(an_open_that_is_overtaken_agrees),
		TEST(a_failure_on_the_way_leaves_no_temporary_file),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
