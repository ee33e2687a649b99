/* SPDX-License-Identifier: Apache-2.0 */
/* test_copy.h - sources, targets and callbacks for tests of copy/. */
#ifndef TESTS_UNIT_TEST_COPY_H
#define TESTS_UNIT_TEST_COPY_H

#include "tests/unit/scratch.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "common/auto.h"
#include "common/text.h"
#include "copy/copy.h"
#include "copy/digest.h"

#define KIB ((uint64_t)1024)
#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)

struct fixture {
	struct scratch scratch;
	struct endpoint source, target;
	struct copy_options options;
	struct copy_result result;
	struct error err;
	/* What the callbacks saw. */
	unsigned checkpoints, reports;
	uint64_t offsets[64];
	char chains[64][40];
	/* What they shall do. */
	unsigned stop_after; /* checkpoints; 0: never */
	uint64_t truncate_source; /* at the first checkpoint; 0: no */
	bool cancel; /* at the first report */
	int saved; /* descriptor for the checkpoints that a killed copy leaves, or -1 */
};

static UNUSED int on_checkpoint(
	void *arg, uint64_t offset, const char *chain, struct error *err)
{
	struct fixture *f = arg;

	assert_true(f->checkpoints < ARRAY_SIZE(f->offsets));
	f->offsets[f->checkpoints] = offset;
	snprintf(f->chains[f->checkpoints], sizeof(f->chains[0]), "%s", chain);
	f->checkpoints++;
	if (f->saved >= 0) {
		assert_int_equal(pwrite(f->saved, &offset, 8, 0), 8);
		assert_int_equal(pwrite(f->saved, chain, 33, 8), 33);
	}
	if (f->truncate_source)
		assert_int_equal(
			truncate(f->source.path, (off_t)f->truncate_source), 0);
	if (f->stop_after && f->checkpoints >= f->stop_after)
		return error_set(err, ERR_FENCED, "stopped by the test");
	return 0;
}

static UNUSED int on_progress(
	void *arg, const struct copy_progress *progress, struct error *err)
{
	struct fixture *f = arg;

	assert_true(progress->verified <= progress->position);
	assert_true(progress->position <= progress->total);
	f->reports++;
	if (f->cancel)
		return error_set(err, ERR_CANCELLED, "cancelled by the test");
	return 0;
}

static UNUSED void use_directory(
	struct fixture *f, const char *source, const char *target)
{
	snprintf(f->source.path, sizeof(f->source.path), "%.200s/source", source);
	snprintf(f->target.path, sizeof(f->target.path), "%.200s/target", target);
	f->source.zero_when_new = f->target.zero_when_new = true;
}

static UNUSED int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->scratch);
	f->saved = -1;
	use_directory(f, f->scratch.path, f->scratch.path);
	f->options = (struct copy_options) {
		.target_is_new = true,
		.checkpoint_bytes = 4 * MIB,
		.checkpoint_seconds = 60,
		.on_progress = on_progress,
		.on_checkpoint = on_checkpoint,
		.arg = f,
	};
	*state = f;
	return 0;
}

static UNUSED int teardown(void **state)
{
	struct fixture *f = *state;

	unsetenv("DROVER_FAULTS");
	if (f->saved >= 0)
		close(f->saved);
	scratch_remove(&f->scratch);
	free(f);
	return 0;
}

static UNUSED int open_at(const char *path, uint64_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static UNUSED void make_file(const char *path, uint64_t size)
{
	close(open_at(path, size));
}

/* Bytes that are never zero in a row, and other ones for another seed. */
static UNUSED void put_bytes(
	const char *path, uint64_t offset, uint64_t length, unsigned seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + offset + 1;
	AUTO(free) unsigned char *data = malloc(length);
	AUTO(fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_non_null(data);
	for (uint64_t i = 0; i < length; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		data[i] = (unsigned char)(x >> 56 | 1);
	}
	assert_int_equal(pwrite(fd, data, length, (off_t)offset), length);
}

static UNUSED void put_byte(const char *path, uint64_t offset, unsigned char value)
{
	AUTO(fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, &value, 1, (off_t)offset), 1);
	assert_int_equal(fsync(fd), 0);
}

static UNUSED void assert_same(const struct fixture *f, uint64_t size)
{
	AUTO(fd) int a = open(f->source.path, O_RDONLY | O_CLOEXEC);
	AUTO(fd) int b = open(f->target.path, O_RDONLY | O_CLOEXEC);
	unsigned char *pa = mmap(NULL, size, PROT_READ, MAP_SHARED, a, 0);
	unsigned char *pb = mmap(NULL, size, PROT_READ, MAP_SHARED, b, 0);

	assert_ptr_not_equal(pa, MAP_FAILED);
	assert_ptr_not_equal(pb, MAP_FAILED);
	assert_int_equal(memcmp(pa, pb, size), 0);
	munmap(pa, size);
	munmap(pb, size);
}

static UNUSED int run(struct fixture *f)
{
	int failed;

	f->checkpoints = f->reports = 0;
	error_clear(&f->err);
	failed = copy_run(&f->source, &f->target, &f->options, &f->result, &f->err);
	if (failed)
		assert_true(f->err.code != ERR_NONE);
	return failed;
}

static UNUSED void assert_runs(struct fixture *f)
{
	if (run(f) < 0)
		fail_msg("%s", f->err.text);
}

static UNUSED void assert_fails(
	struct fixture *f, enum error_code code, const char *text)
{
	assert_int_equal(run(f), -1);
	if (f->err.code != code || !strstr(f->err.text, text))
		fail_msg("%s: %s", error_code_name(f->err.code), f->err.text);
}

/* Data at these places of a source that is holes else. */
struct pattern {
	const char *name;
	uint64_t size;
	struct {
		uint64_t offset, length;
	} data[6];
};

static UNUSED const struct pattern patterns[] = {
	{ "nothing", 9 * MIB, { { 0 } } },
	{ "everything", 9 * MIB, { { 0, 9 * MIB } } },
	{ "one byte at the start", 9 * MIB, { { 0, 1 } } },
	{ "one byte at the end", 9 * MIB, { { 9 * MIB - 1, 1 } } },
	{ "every kind of edge", 20 * MIB,
		{ { 4096, 4096 }, { MIB - 1, 2 }, { 3 * MIB + 64 * KIB, 64 * KIB },
			{ 5 * MIB, MIB }, { 9 * MIB - 4096, 6 * MIB + 8192 },
			{ 19 * MIB, MIB } } },
	{ "an odd size", 5 * MIB + 512 * 3,
		{ { MIB, MIB }, { 4 * MIB, MIB + 512 * 3 } } },
	{ "a size of odd bytes", 2 * MIB + 12345, { { MIB, MIB + 12345 } } },
	{ "smaller than a block", 512, { { 0, 512 } } },
	{ "a hole at an odd end", 5 * MIB + 512, { { 0, MIB } } },
};

static UNUSED void make_pattern(struct fixture *f, const struct pattern *pattern)
{
	make_file(f->source.path, pattern->size);
	for (size_t i = 0; i < ARRAY_SIZE(pattern->data); i++)
		if (pattern->data[i].length)
			put_bytes(f->source.path, pattern->data[i].offset,
				pattern->data[i].length, 1);
	make_file(f->target.path, pattern->size);
	f->options.size = pattern->size;
}

static UNUSED void resume_at(struct fixture *f, unsigned checkpoint)
{
	f->options.start = f->offsets[checkpoint];
	snprintf(f->options.chain_start, sizeof(f->options.chain_start), "%s",
		f->chains[checkpoint]);
}

#ifdef DROVER_FAULTS
/* While the copy is held between writing and reading back, another process changes one
 * byte of the target. */
static UNUSED pid_t flip_when_held(const struct fixture *f, uint64_t offset)
{
	char faults[PATH_MAX + 32], held[PATH_MAX];
	pid_t pid;

	snprintf(held, sizeof(held), "%.200s/held", f->scratch.path);
	snprintf(faults, sizeof(faults), "copy.flushed=hold:%s", held);
	setenv("DROVER_FAULTS", faults, 1);
	pid = fork();
	if (pid != 0)
		return pid;
	if (scratch_await(held)) {
		unsigned char byte = 0;
		int fd = open(f->target.path, O_RDWR | O_CLOEXEC);
		ssize_t got = pread(fd, &byte, 1, (off_t)offset);
		byte ^= 0x10;
		got += pwrite(fd, &byte, 1, (off_t)offset);
		fsync(fd);
		strcat(held, ".go");
		close(open(held, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		_exit(got == 2 ? 0 : 1);
	}
	_exit(1);
}

static UNUSED void forget_held(const struct fixture *f)
{
	char held[PATH_MAX];

	snprintf(held, sizeof(held), "%.200s/held", f->scratch.path);
	unlink(held);
	strcat(held, ".go");
	unlink(held);
	unsetenv("DROVER_FAULTS");
}

static UNUSED const char *const points[] = { "copy.start", "copy.chunk", "copy.written",
	"copy.flushed", "copy.checkpoint" };

/* The copy runs in a child and is killed there at the point's N-th pass. */
static UNUSED bool killed_at(struct fixture *f, const char *point, unsigned pass)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char faults[128];
		snprintf(faults, sizeof(faults), "%s#%u=kill", point, pass);
		setenv("DROVER_FAULTS", faults, 1);
		_exit(run(f) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static UNUSED void load_checkpoint(struct fixture *f)
{
	f->options.start = 0;
	f->options.chain_start[0] = '\0';
	if (pread(f->saved, &f->options.start, 8, 0) == 8)
		assert_int_equal(pread(f->saved, f->options.chain_start, 33, 8), 33);
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
