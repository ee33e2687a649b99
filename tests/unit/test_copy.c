/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test_copy.h"

#include "copy/digest_parts.h"

static void the_target_has_the_bytes_of_the_source(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		make_pattern(f, &patterns[i]);
		assert_runs(f);
		assert_same(f, patterns[i].size);
		assert_int_equal(
			f->result.copied + f->result.skipped, patterns[i].size);
		assert_int_equal(strlen(f->result.digest), 32);
		assert_int_equal(f->offsets[f->checkpoints - 1], patterns[i].size);
	}
}

static void holes_stay_holes(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make_file(f->source.path, 64 * MIB);
	put_bytes(f->source.path, 32 * MIB, 64 * KIB, 1);
	put_byte(f->source.path, 48 * MIB, 0);
	make_file(f->target.path, 64 * MIB);
	f->options.size = 64 * MIB;
	assert_runs(f);
	assert_same(f, 64 * MIB);
	assert_int_equal(f->result.copied, 64 * KIB);
	assert_int_equal(stat(f->target.path, &st), 0);
	assert_true(st.st_blocks <= 512);
}

static void what_was_in_the_target_before_is_gone(void **state)
{
	struct fixture *f = *state;

	f->options.target_is_new = false;
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		make_pattern(f, &patterns[i]);
		put_bytes(f->target.path, 0, patterns[i].size, 2);
		assert_runs(f);
		assert_same(f, patterns[i].size);
	}
}

static void the_target_is_neither_cut_nor_extended(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char byte = 0;

	make_file(f->source.path, 3 * MIB + 512);
	put_bytes(f->source.path, 0, MIB, 1);
	make_file(f->target.path, 4 * MIB);
	put_bytes(f->target.path, 0, 4 * MIB, 2);
	f->options.size = 3 * MIB + 512;
	assert_runs(f);
	assert_same(f, 3 * MIB + 512);
	assert_int_equal(stat(f->target.path, &st), 0);
	assert_int_equal(st.st_size, 4 * MIB);
	AUTO(fd) int fd = open(f->target.path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, 3 * MIB + 512), 1);
	assert_true(byte != 0);
}

static void a_resumed_copy_equals_one_in_one_go(void **state)
{
	struct fixture *f = *state;
	const struct pattern *pattern = &patterns[4];
	char receipt[40];
	unsigned count;

	f->options.checkpoint_bytes = 2 * MIB;
	make_pattern(f, pattern);
	assert_runs(f);
	count = f->checkpoints;
	assert_true(count >= 3);
	snprintf(receipt, sizeof(receipt), "%s", f->result.digest);
	for (unsigned i = 1; i <= count; i++) {
		make_pattern(f, pattern);
		f->options.start = 0;
		f->stop_after = i;
		assert_fails(f, ERR_FENCED, "stopped by the test");
		f->stop_after = 0;
		resume_at(f, i - 1);
		/* Left by the attempt before, in places that are zeroes. */
		if (f->options.start < pattern->size)
			put_bytes(f->target.path, f->options.start,
				pattern->size - f->options.start, 3);
		assert_runs(f);
		assert_same(f, pattern->size);
		assert_string_equal(f->result.digest, receipt);
	}
}

static void the_receipt_does_not_depend_on_how_zeroes_are_stored(void **state)
{
	struct fixture *f = *state;
	char receipt[40];

	make_pattern(f, &patterns[4]);
	assert_runs(f);
	snprintf(receipt, sizeof(receipt), "%s", f->result.digest);
	/* Every hole becomes written zeroes. */
	AUTO(fd) int fd = open(f->source.path, O_RDWR | O_CLOEXEC);
	AUTO(free) char *data = malloc(20 * MIB);
	assert_int_equal(pread(fd, data, 20 * MIB, 0), 20 * MIB);
	assert_int_equal(pwrite(fd, data, 20 * MIB, 0), 20 * MIB);
	make_file(f->target.path, 20 * MIB);
	f->options.checkpoint_bytes = 64 * MIB;
	assert_runs(f);
	assert_string_equal(f->result.digest, receipt);
	put_byte(f->source.path, 19 * MIB, 77);
	assert_runs(f);
	assert_string_not_equal(f->result.digest, receipt);
}

static void the_size_is_part_of_the_receipt(void **state)
{
	struct fixture *f = *state;
	char receipt[40];

	make_pattern(f, &patterns[0]);
	assert_runs(f);
	snprintf(receipt, sizeof(receipt), "%s", f->result.digest);
	make_file(f->source.path, 8 * MIB);
	f->options.size = 8 * MIB;
	assert_runs(f);
	assert_string_not_equal(f->result.digest, receipt);
}

static void a_checkpoint_needs_its_digest(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[1]);
	f->options.start = 4 * MIB;
	assert_fails(f, ERR_INVALID_INPUT, "without its digest");
	f->options.start = 4 * MIB + 512;
	assert_fails(f, ERR_INVALID_INPUT, "is not a checkpoint");
	f->options.start = 10 * MIB;
	assert_fails(f, ERR_INVALID_INPUT, "is not a checkpoint");
}

static void wrong_sizes_are_named(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[1]);
	f->options.size = 10 * MIB;
	assert_fails(f, ERR_IO, "fewer than the volume's 10485760");
	assert_non_null(strstr(f->err.text, "source '/"));
	f->options.size = 8 * MIB;
	assert_fails(f, ERR_IO, "more than the volume's 8388608");
	f->options.size = 9 * MIB;
	make_file(f->target.path, 8 * MIB);
	assert_fails(f, ERR_IO, "has 8388608 bytes, fewer than");
	assert_non_null(strstr(f->err.text, "target '/"));
}

static void what_is_no_volume_is_refused(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[1]);
	unlink(f->target.path);
	assert_fails(f, ERR_IO, "cannot open target '/");
	assert_int_equal(mkfifo(f->target.path, 0600), 0);
	assert_fails(f, ERR_IO, "is neither a regular file nor a block device");
	unlink(f->target.path);
	assert_int_equal(link(f->source.path, f->target.path), 0);
	assert_fails(f, ERR_INVALID_INPUT, "are the same");
}

static void a_source_that_shrinks_is_named_with_the_offset(void **state)
{
	struct fixture *f = *state;

	make_file(f->source.path, 48 * MIB);
	put_bytes(f->source.path, 0, 48 * MIB, 1);
	make_file(f->target.path, 48 * MIB);
	f->options.size = 48 * MIB;
	f->options.checkpoint_bytes = MIB;
	f->truncate_source = 47 * MIB + 4096;
	assert_int_equal(run(f), -1);
	assert_int_equal(f->err.code, ERR_IO);
	assert_non_null(strstr(f->err.text, "ends at offset 49287168"));
	assert_non_null(strstr(f->err.text, "source '/"));
}

static void cancelling_stops_the_copy(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[1]);
	f->options.rate_limit = MIB;
	f->cancel = true;
	assert_fails(f, ERR_CANCELLED, "cancelled by the test");
	assert_int_equal(f->reports, 1);
}

static void the_rate_limit_is_kept(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[1]);
	f->options.rate_limit = 12 * MIB;
	assert_runs(f);
	assert_true(f->result.seconds >= 8.0 / 12 - 0.01);
	assert_true(f->result.seconds < 5);
	assert_true(f->reports >= 2);
}

static void time_makes_checkpoints_too(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[1]);
	f->options.checkpoint_bytes = 64 * MIB;
	assert_runs(f);
	assert_int_equal(f->checkpoints, 1);
	f->options.checkpoint_seconds = 0.15;
	f->options.rate_limit = 12 * MIB;
	assert_runs(f);
	assert_true(f->checkpoints >= 3);
}

static void a_full_target_is_no_space(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[1]);
	struct scratch small;
	scratch_make(&small);
	if (!scratch_mount(&small, "tmpfs", "size=4m")) {
		scratch_remove(&small);
		skip_because("cannot mount a tmpfs");
	}
	use_directory(f, f->scratch.path, small.path);
	make_file(f->target.path, 9 * MIB);
	int failed = run(f);
	scratch_remove(&small);
	assert_int_equal(failed, -1);
	assert_int_equal(f->err.code, ERR_NO_SPACE);
	assert_non_null(strstr(f->err.text, "cannot write target '/"));
	/* Of the chunks that are written at once any may be the first to fail. */
	const char *at = strstr(f->err.text, "at offset ");
	assert_non_null(at);
	assert_true(strtoull(at + strlen("at offset "), NULL, 10) >= 3 * MIB);
}

/* ramfs has neither direct I/O, nor SEEK_DATA, nor holes to punch. */
static void a_simple_file_system_will_do(void **state)
{
	struct fixture *f = *state;
	struct scratch simple;

	scratch_make(&simple);
	if (!scratch_mount(&simple, "ramfs", NULL)) {
		scratch_remove(&simple);
		skip_because("cannot mount a ramfs");
	}
	use_directory(f, simple.path, simple.path);
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		make_pattern(f, &patterns[i]);
		put_bytes(f->target.path, 0, patterns[i].size, 2);
		if (run(f) == 0)
			assert_same(f, patterns[i].size);
		if (f->err.code)
			break;
	}
	scratch_remove(&simple);
	if (f->err.code)
		fail_msg("%s", f->err.text);
}

static void a_block_device_is_written_and_read(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[4]);
	if (!scratch_loop(&f->scratch, 32 * MIB))
		skip_because("cannot make a loop device");
	put_bytes(f->scratch.device, 0, 32 * MIB, 2);
	snprintf(f->target.path, sizeof(f->target.path), "%s", f->scratch.device);
	f->options.target_is_new = false;
	assert_runs(f);
	assert_same(f, patterns[4].size);

	/* And back; a device may be larger than the volume. */
	char receipt[40];
	snprintf(receipt, sizeof(receipt), "%s", f->result.digest);
	f->source = f->target;
	snprintf(
		f->target.path, sizeof(f->target.path), "%.200s/back", f->scratch.path);
	make_file(f->target.path, patterns[4].size);
	assert_runs(f);
	assert_same(f, patterns[4].size);
	assert_string_equal(f->result.digest, receipt);
}

static void a_new_device_with_stale_bytes_is_a_mismatch(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[4]);
	if (!scratch_loop(&f->scratch, 32 * MIB))
		skip_because("cannot make a loop device");
	put_byte(f->scratch.device, 17 * MIB + 5, 1);
	snprintf(f->target.path, sizeof(f->target.path), "%s", f->scratch.device);
	assert_fails(f, ERR_MISMATCH, "target differs from source at offset 17825797");
}

static void a_hundred_tebibytes_of_hole_cost_nothing(void **state)
{
	struct fixture *f = *state;
	struct scratch memory;
	struct rusage before, after;

	scratch_make(&memory);
	if (!scratch_mount(&memory, "tmpfs", "size=64m")) {
		scratch_remove(&memory);
		skip_because("cannot mount a tmpfs");
	}
	use_directory(f, memory.path, memory.path);
	make_file(f->source.path, 100 * TIB);
	put_bytes(f->source.path, 50 * TIB + 4096, MIB, 1);
	put_bytes(f->source.path, 100 * TIB - 512, 512, 1);
	make_file(f->target.path, 100 * TIB);
	f->options.size = 100 * TIB;
	getrusage(RUSAGE_SELF, &before);
	int failed = run(f);
	getrusage(RUSAGE_SELF, &after);
	scratch_remove(&memory);
	if (failed)
		fail_msg("%s", f->err.text);
	print_message("100 TiB in %.3f s\n", f->result.seconds);
	assert_true(f->result.seconds < 1);
	assert_true(after.ru_maxrss - before.ru_maxrss < 32 * 1024);
}

#ifdef DROVER_FAULTS
static void a_changed_byte_is_found(struct fixture *f, uint64_t offset)
{
	char text[64];
	int status;
	pid_t pid;

	make_pattern(f, &patterns[4]);
	f->options.checkpoint_bytes = 64 * MIB;
	pid = flip_when_held(f, offset);
	snprintf(text, sizeof(text), "target differs from source at offset %" PRIu64,
		offset);
	assert_fails(f, ERR_MISMATCH, text);
	assert_int_equal(f->checkpoints, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_changed_byte_in_data_is_found(void **state)
{
	a_changed_byte_is_found(*state, 9 * MIB + 1234567);
}

static void a_changed_byte_in_a_hole_is_found(void **state)
{
	a_changed_byte_is_found(*state, 17 * MIB + 7);
}

static void a_changed_byte_beside_data_is_found(void **state)
{
	a_changed_byte_is_found(*state, 3 * MIB + 512 * KIB + 1);
}

static void every_fault_point_fails_the_copy(void **state)
{
	struct fixture *f = *state;
	char faults[128];

	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		make_pattern(f, &patterns[4]);
		snprintf(faults, sizeof(faults), "%s=fail:no_space", points[i]);
		setenv("DROVER_FAULTS", faults, 1);
		assert_fails(f, ERR_NO_SPACE, points[i]);
	}
}

static void a_killed_copy_goes_on(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX], receipt[40];
	unsigned kills = 0;

	f->options.checkpoint_bytes = 2 * MIB;
	make_pattern(f, &patterns[4]);
	assert_runs(f);
	snprintf(receipt, sizeof(receipt), "%s", f->result.digest);
	snprintf(path, sizeof(path), "%.200s/saved", f->scratch.path);
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		f->saved = open_at(path, 0);
		make_pattern(f, &patterns[4]);
		for (unsigned pass = 1; pass < 5; pass++) {
			load_checkpoint(f);
			kills += killed_at(f, points[i], pass);
		}
		load_checkpoint(f);
		assert_runs(f);
		assert_same(f, patterns[4].size);
		assert_string_equal(f->result.digest, receipt);
		close(f->saved);
		f->saved = -1;
	}
	assert_true(kills > 8);
}
#endif

static bool make_clone(struct fixture *f)
{
	AUTO(fd) int from = open(f->source.path, O_RDONLY | O_CLOEXEC);
	AUTO(fd) int to = open(f->target.path, O_RDWR | O_CLOEXEC);

	return ioctl(to, FICLONE, from) == 0;
}

static int verify(struct fixture *f)
{
	error_clear(&f->err);
	return copy_verify_clone(
		&f->source, &f->target, &f->options, &f->result, &f->err);
}

static void a_clone_is_equal_without_reading(void **state)
{
	struct fixture *f = *state;

	if (!scratch_xfs(&f->scratch))
		skip_because("cannot mount an xfs");
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		make_pattern(f, &patterns[i]);
		assert_true(make_clone(f));
		if (verify(f) < 0)
			fail_msg("%s", f->err.text);
		assert_int_equal(f->result.skipped, patterns[i].size);
		assert_int_equal(f->result.copied, 0);
		assert_string_equal(f->result.digest, "");
	}
}

static void a_byte_written_into_a_clone_is_found(void **state)
{
	static const uint64_t places[] = { 0, 4096, 2 * MIB + 3, 9 * MIB + 99999,
		17 * MIB, 20 * MIB - 1 };
	struct fixture *f = *state;

	if (!scratch_xfs(&f->scratch))
		skip_because("cannot mount an xfs");
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char text[64];

		make_pattern(f, &patterns[4]);
		assert_true(make_clone(f));
		put_byte(f->target.path, places[i], 2);
		assert_int_equal(verify(f), -1);
		assert_int_equal(f->err.code, ERR_MISMATCH);
		snprintf(text, sizeof(text), "source at offset %" PRIu64, places[i]);
		if (!strstr(f->err.text, text))
			fail_msg("%s", f->err.text);
	}
}

static void a_clone_of_many_extents_is_walked_to_the_end(void **state)
{
	struct fixture *f = *state;
	const uint64_t count = 1000, step = 64 * KIB;

	if (!scratch_xfs(&f->scratch))
		skip_because("cannot mount an xfs");
	make_file(f->source.path, count * step);
	make_file(f->target.path, count * step);
	for (uint64_t i = 0; i < count; i++)
		put_byte(f->source.path, i * step, 1);
	f->options.size = count * step;
	assert_true(make_clone(f));
	assert_int_equal(verify(f), 0);
	assert_int_equal(f->result.skipped, count * step);
	put_byte(f->target.path, (count - 1) * step + 100, 1);
	assert_int_equal(verify(f), -1);
	assert_int_equal(f->err.code, ERR_MISMATCH);
}

/* Equal bytes in blocks of its own, or without any map, are compared. */
static void a_full_copy_is_verified_by_reading(void **state)
{
	struct fixture *f = *state;

	make_pattern(f, &patterns[1]);
	put_bytes(f->target.path, 0, 9 * MIB, 1);
	assert_int_equal(verify(f), 0);
	assert_int_equal(f->result.skipped, 0);
	put_byte(f->target.path, 5 * MIB + 17, 0);
	assert_int_equal(verify(f), -1);
	assert_int_equal(f->err.code, ERR_MISMATCH);
	assert_non_null(strstr(f->err.text, "at offset 5242897"));
}

static void digests_survive_text(void **state)
{
	struct copy_digest digest, back;
	char text[DIGEST_TEXT_SIZE];

	digest_of("volume", 6, &digest);
	digest_to_text(&digest, text);
	assert_true(digest_from_text(text, &back));
	assert_true(digest_equal(&digest, &back));
	text[31] = 'g';
	assert_false(digest_from_text(text, &back));
	assert_false(digest_from_text("", &back));
	assert_false(digest_from_text("0123456789abcdef0123456789abcdef0", &back));
	/* XXH3-128 of nothing, as xxhsum -H2 prints it: the stored form is stable. */
	digest_of("", 0, &digest);
	digest_to_text(&digest, text);
	assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
}

/* Blocks that are not zeroes, then a bit for each of them. */
static void zeroes_within_a_chunk_are_not_digested(void **state)
{
	static unsigned char data[MIB], bytes[2 * DIGEST_BLOCK + 32];
	const struct part parts[] = { { 0, 2 * DIGEST_BLOCK },
		{ 9 * DIGEST_BLOCK, 11 * DIGEST_BLOCK },
		{ MIB - DIGEST_BLOCK, MIB - 5 } };
	struct copy_digest digest, expected, none = { 0 };

	digest_chunk(data, sizeof(data), &digest);
	assert_true(digest_equal(&digest, &none));
	memset(data + DIGEST_BLOCK, 1, DIGEST_BLOCK);
	data[9 * DIGEST_BLOCK + 7] = 2;
	memcpy(bytes, data + DIGEST_BLOCK, DIGEST_BLOCK);
	memcpy(bytes + DIGEST_BLOCK, data + 9 * DIGEST_BLOCK, DIGEST_BLOCK);
	bytes[2 * DIGEST_BLOCK] = 1U << 1;
	bytes[2 * DIGEST_BLOCK + 1] = 1U << 1;
	digest_of(bytes, sizeof(bytes), &expected);
	digest_chunk(data, sizeof(data), &digest);
	assert_true(digest_equal(&digest, &expected));
	digest_parts(data, parts, ARRAY_SIZE(parts), &digest);
	assert_true(digest_equal(&digest, &expected));
	/* The same bytes in another block. */
	memcpy(data + 10 * DIGEST_BLOCK, data + 9 * DIGEST_BLOCK, DIGEST_BLOCK);
	memset(data + 9 * DIGEST_BLOCK, 0, DIGEST_BLOCK);
	digest_chunk(data, sizeof(data), &digest);
	assert_false(digest_equal(&digest, &expected));
	/* A chunk that does not end with a block; what is no part is not looked at. */
	data[MIB - 6] = 3;
	digest_chunk(data, MIB - 5, &expected);
	memset(data + 20 * DIGEST_BLOCK, 4, DIGEST_BLOCK);
	digest_parts(data, parts, ARRAY_SIZE(parts), &digest);
	assert_true(digest_equal(&digest, &expected));
	memset(data, 0, sizeof(data));
}

/* Copies go on on other hosts, and checkpoints are read there. */
static void all_processors_compute_the_same_digest(void **state)
{
#ifdef HAVE_AVX2_TOO
	static unsigned char data[MIB];
	unsigned seed = 7;

	if (!__builtin_cpu_supports("avx2"))
		skip();
	for (unsigned round = 0; round < 200; round++) {
		struct part parts[3] = { { 0 } };
		struct copy_digest anywhere, here;
		size_t at = 0;

		for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
			seed = seed * 1103515245 + 12345;
			parts[i].from = at + (seed >> 16) % 40 * DIGEST_BLOCK;
			at = parts[i].to =
				parts[i].from + (seed >> 8) % 40 * DIGEST_BLOCK;
			for (size_t b = parts[i].from; b < at; b++)
				data[b] = (unsigned char)(b * seed >> 7);
			if (seed % 3 == 0)
				memset(data + parts[i].from, 0, at - parts[i].from);
		}
		parts[2].to -= parts[2].to > parts[2].from ? seed % DIGEST_BLOCK : 0;
		digest_parts_anywhere(data, parts, ARRAY_SIZE(parts), &anywhere);
		digest_parts_avx2(data, parts, ARRAY_SIZE(parts), &here);
		assert_true(digest_equal(&anywhere, &here));
	}
#else
	skip();
#endif
}

static void lists_of_digests_survive_text(void **state)
{
	struct copy_digest digests[40] = { 0 }, back[40];
	struct error err;
	AUTO(free) char *text = NULL;

	digest_of("one", 3, &digests[0]);
	digest_of("two", 3, &digests[20]);
	digest_of("two", 3, &digests[21]);
	assert_int_equal(copy_digests_to_text(digests, 40, &text, &err), 0);
	assert_int_equal(strlen(text), 3 * 32 + 3 + 3 + 4);
	memset(back, 0xff, sizeof(back));
	assert_int_equal(copy_digests_from_text(text, back, 40, &err), 0);
	assert_memory_equal(back, digests, sizeof(back));
	assert_int_equal(copy_digests_from_text(text, back, 39, &err), -1);
	assert_int_equal(copy_digests_from_text(text, back, 41, &err), -1);
	free(steal(text));
	assert_int_equal(copy_digests_to_text(digests, 0, &text, &err), 0);
	assert_string_equal(text, "");
	assert_int_equal(copy_digests_from_text("", back, 0, &err), 0);
}

static void what_is_no_list_of_digests_is_refused(void **state)
{
	static const char *const texts[] = { "", "z3", "z5", "z4,", ",z4", "z4,z1",
		"z2,,z2", "z", "z-4", "z4 ", "z0,z4", "z18446744073709551620", "Z4",
		"z3,99aa06d3014798d86001c324468d497",
		"z3,99aa06d3014798d86001c324468d497F",
		"z3,99aa06d3014798d86001c324468d497ff",
		"z1000000000000000000000000000000000000000" };
	struct copy_digest digests[4];
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		error_clear(&err);
		if (copy_digests_from_text(texts[i], digests, 4, &err) == 0)
			fail_msg("'%s' was taken", texts[i]);
		assert_int_equal(err.code, ERR_INVALID_INPUT);
	}
	assert_int_equal(copy_digests_from_text("z4", digests, 4, &err), 0);
}

static void reading_back_tells_of_every_chunk(void **state)
{
	struct fixture *f = *state;
	struct copy_digest digests[21], expected;
	AUTO(free) unsigned char *data = malloc(MIB);

	make_pattern(f, &patterns[4]);
	memset(digests, 0xff, sizeof(digests));
	assert_int_equal(
		copy_read_back(&f->source, MIB, 20 * MIB, digests, 19, &f->err), 0);
	AUTO(fd) int fd = open(f->source.path, O_RDONLY | O_CLOEXEC);
	for (uint64_t i = 1; i < 20; i++) {
		assert_int_equal(pread(fd, data, MIB, (off_t)(i * MIB)), MIB);
		digest_chunk(data, MIB, &expected);
		assert_memory_equal(&digests[i - 1], &expected, sizeof(expected));
	}
	assert_int_equal(digests[19].bytes[0], 0xff);

	/* Ranges and counts that do not fit. */
	assert_int_equal(
		copy_read_back(&f->source, 0, 20 * MIB, digests, 19, &f->err), -1);
	assert_int_equal(f->err.code, ERR_INVALID_INPUT);
	assert_int_equal(copy_read_back(&f->source, 512, MIB, digests, 1, &f->err), -1);
	assert_int_equal(
		copy_read_back(&f->source, 0, 21 * MIB, digests, 21, &f->err), -1);
	assert_int_equal(
		copy_read_back(&f->source, 2 * MIB, MIB, digests, 1, &f->err), -1);
}

/* The last chunk is cut at the volume's end, whatever the target has behind it. */
static void reading_back_ends_with_the_range(void **state)
{
	struct fixture *f = *state;
	struct copy_digest digests[3], expected;
	AUTO(free) unsigned char *data = malloc(MIB);

	make_pattern(f, &patterns[6]);
	AUTO(fd) int fd = open(f->source.path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(
		copy_read_back(&f->source, 0, 2 * MIB + 4321, digests, 3, &f->err), 0);
	assert_int_equal(pread(fd, data, 4321, 2 * MIB), 4321);
	digest_chunk(data, 4321, &expected);
	assert_memory_equal(&digests[2], &expected, sizeof(expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef DROVER_FAULTS
		/* First: the N of a point counts from the start of the process. */
		TEST(a_killed_copy_goes_on),
#endif
		TEST(the_target_has_the_bytes_of_the_source),
		TEST(holes_stay_holes),
		TEST(what_was_in_the_target_before_is_gone),
		TEST(the_target_is_neither_cut_nor_extended),
		TEST(a_resumed_copy_equals_one_in_one_go),
		TEST(the_receipt_does_not_depend_on_how_zeroes_are_stored),
		TEST(the_size_is_part_of_the_receipt),
		TEST(a_checkpoint_needs_its_digest),
		TEST(wrong_sizes_are_named),
		TEST(what_is_no_volume_is_refused),
		TEST(a_source_that_shrinks_is_named_with_the_offset),
		TEST(cancelling_stops_the_copy),
		TEST(the_rate_limit_is_kept),
		TEST(time_makes_checkpoints_too),
		TEST(a_full_target_is_no_space),
		TEST(a_simple_file_system_will_do),
		TEST(a_block_device_is_written_and_read),
		TEST(a_new_device_with_stale_bytes_is_a_mismatch),
		TEST(a_hundred_tebibytes_of_hole_cost_nothing),
#ifdef DROVER_FAULTS
		TEST(a_changed_byte_in_data_is_found),
		TEST(a_changed_byte_in_a_hole_is_found),
		TEST(a_changed_byte_beside_data_is_found),
		TEST(every_fault_point_fails_the_copy),
#endif
		TEST(a_clone_is_equal_without_reading),
		TEST(a_byte_written_into_a_clone_is_found),
		TEST(a_clone_of_many_extents_is_walked_to_the_end),
		TEST(a_full_copy_is_verified_by_reading),
		cmocka_unit_test(digests_survive_text),
		cmocka_unit_test(zeroes_within_a_chunk_are_not_digested),
		cmocka_unit_test(all_processors_compute_the_same_digest),
		cmocka_unit_test(lists_of_digests_survive_text),
		cmocka_unit_test(what_is_no_list_of_digests_is_refused),
		TEST(reading_back_tells_of_every_chunk),
		TEST(reading_back_ends_with_the_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
