/* SPDX-License-Identifier: Apache-2.0 */
/* A copy to another host: the target is a real nbdkit. */
#include "tests/unit/test_copy.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#define EXPORT "volume-1"
#define GIB ((uint64_t)1 << 30)

struct remote_fixture {
	struct fixture copy; /* first: the callbacks of test_copy.h get it */
	pid_t server; /* 0: none */
	unsigned port;
	int listening;
	char psk_path[PATH_MAX];
	/* What the callbacks saw. */
	unsigned read_backs, stops;
	uint64_t most_read_back; /* bytes in one call */
	/* What they shall do. */
	uint64_t lie_at; /* a wrong digest for the chunk at this offset; 0: none */
	bool read_back_hangs; /* until read_back_stop */
	bool read_back_fails;
	int server_signal; /* to the server at the first checkpoint; 0: none */
	pthread_mutex_t mutex;
	pthread_cond_t stopped;
	double cancel_after; /* seconds from the first report; 0: never */
	double first_report, cancelled;
};

/* ---- what the other host does ---- */

static void hang(struct remote_fixture *r)
{
	pthread_mutex_lock(&r->mutex);
	while (r->stops == 0)
		pthread_cond_wait(&r->stopped, &r->mutex);
	pthread_mutex_unlock(&r->mutex);
}

static void on_read_back_stop(void *arg)
{
	struct remote_fixture *r = arg;

	pthread_mutex_lock(&r->mutex);
	r->stops++;
	pthread_cond_signal(&r->stopped);
	pthread_mutex_unlock(&r->mutex);
}

/* The answer goes through text, as between hosts. */
static int on_read_back(void *arg, uint64_t from, uint64_t to,
	struct copy_digest *digests, size_t count, struct error *err)
{
	struct remote_fixture *r = arg;
	struct endpoint local = { 0 };
	AUTO(free) char *text = NULL;
	AUTO(free) struct copy_digest *found = calloc(count, sizeof(*found));

	r->read_backs++;
	r->most_read_back =
		to - from > r->most_read_back ? to - from : r->most_read_back;
	if (r->read_back_hangs)
		hang(r);
	if (r->read_back_hangs || r->read_back_fails)
		return error_set(err, ERR_BACKEND, "the other host has no disk");
	snprintf(local.path, sizeof(local.path), "%s", r->copy.target.path);
	if (copy_read_back(&local, from, to, found, count, err) < 0)
		return -1;
	if (r->lie_at >= from && r->lie_at < to && r->lie_at > 0)
		found[(r->lie_at - from) / MIB].bytes[3] ^= 1;
	if (copy_digests_to_text(found, count, &text, err) < 0)
		return -1;
	return copy_digests_from_text(text, digests, count, err);
}

static int on_checkpoint_signal(
	void *arg, uint64_t offset, const char *chain, struct error *err)
{
	struct remote_fixture *r = arg;

	if (r->server_signal && r->copy.checkpoints == 0)
		assert_int_equal(kill(r->server, r->server_signal), 0);
	return on_checkpoint(arg, offset, chain, err);
}

static int on_progress_cancel(
	void *arg, const struct copy_progress *progress, struct error *err)
{
	struct remote_fixture *r = arg;
	double now = clock_seconds();

	r->first_report = r->first_report > 0 ? r->first_report : now;
	if (r->cancel_after > 0 && now - r->first_report >= r->cancel_after) {
		r->cancelled = now;
		return error_set(err, ERR_CANCELLED, "cancelled by the test");
	}
	return on_progress(arg, progress, err);
}

/* ---- the server ---- */

static void listen_somewhere(struct remote_fixture *r)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);

	r->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(r->listening >= 0);
	assert_int_equal(
		bind(r->listening, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(r->listening, 16), 0);
	assert_int_equal(
		getsockname(r->listening, (struct sockaddr *)&address, &size), 0);
	r->port = ntohs(address.sin_port);
	r->copy.target.nbd.port = (uint16_t)r->port;
}

static _Noreturn void become_nbdkit(struct remote_fixture *r,
	const char *const *options, const char *const *parameters)
{
	const char *argv[32] = { "nbdkit", "--foreground", "--exit-with-parent" };
	char pid[24], file[PATH_MAX + 8], log[PATH_MAX];
	unsigned n = 3;
	int fd;

	snprintf(log, sizeof(log), "%.200s/nbdkit.log", r->copy.scratch.path);
	snprintf(file, sizeof(file), "file=%s", r->copy.target.path);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_PID", pid, 1);
	unsetenv("DROVER_FAULTS");
	while (options && *options)
		argv[n++] = *options++;
	argv[n++] = "--filter=exportname";
	argv[n++] = "file";
	argv[n++] = file;
	argv[n++] = "exportname=" EXPORT;
	argv[n++] = "exportname-strict=true";
	while (parameters && *parameters)
		argv[n++] = *parameters++;
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(fd, 2);
	if (r->listening == 3)
		fcntl(3, F_SETFD, 0);
	else
		dup2(r->listening, 3);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* Lists end with NULL and may be NULL. */
static void serve(struct remote_fixture *r, const char *const *options,
	const char *const *parameters)
{
	/* nbdkit looks for it once. */
	close(open(r->copy.target.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	listen_somewhere(r);
	r->server = fork();
	assert_true(r->server >= 0);
	if (r->server == 0)
		become_nbdkit(r, options, parameters);
	close(r->listening);
	r->listening = -1;
}

static void stop_server(struct remote_fixture *r)
{
	if (r->server > 0) {
		kill(r->server, SIGKILL);
		assert_int_equal(waitpid(r->server, NULL, 0), r->server);
	}
	r->server = 0;
}

static void write_key(struct remote_fixture *r, const char *name, const char *key)
{
	AUTO(fclose) FILE *f = NULL;

	snprintf(r->psk_path, sizeof(r->psk_path), "%.200s/%s", r->copy.scratch.path,
		name);
	f = fopen(r->psk_path, "we");
	assert_non_null(f);
	fprintf(f, "drover:%s\n", key);
}

static void use_key(struct remote_fixture *r)
{
	struct endpoint_nbd *nbd = &r->copy.target.nbd;

	snprintf(nbd->username, sizeof(nbd->username), "drover");
	snprintf(nbd->psk_path, sizeof(nbd->psk_path), "%s", r->psk_path);
}

static void serve_tls(struct remote_fixture *r)
{
	char psk[PATH_MAX + 16];
	const char *const options[] = { "--tls=require", psk, NULL };

	write_key(r, "server.psk",
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
	snprintf(psk, sizeof(psk), "--tls-psk=%s", r->psk_path);
	serve(r, options, NULL);
	use_key(r);
}

static int setup_remote(void **state)
{
	struct remote_fixture *r = calloc(1, sizeof(*r));
	struct fixture *f = &r->copy;

	scratch_make(&f->scratch);
	f->saved = r->listening = -1;
	use_directory(f, f->scratch.path, f->scratch.path);
	snprintf(f->target.nbd.host, sizeof(f->target.nbd.host), "127.0.0.1");
	snprintf(f->target.nbd.export, sizeof(f->target.nbd.export), EXPORT);
	pthread_mutex_init(&r->mutex, NULL);
	pthread_cond_init(&r->stopped, NULL);
	f->options = (struct copy_options) {
		.target_is_new = true,
		.checkpoint_bytes = 4 * MIB,
		.checkpoint_seconds = 60,
		.deadline_s = 10,
		.on_progress = on_progress_cancel,
		.on_checkpoint = on_checkpoint_signal,
		.read_back = on_read_back,
		.read_back_stop = on_read_back_stop,
		.arg = r,
	};
	*state = r;
	return 0;
}

static int teardown_remote(void **state)
{
	struct remote_fixture *r = *state;

	stop_server(r);
	if (r->listening >= 0)
		close(r->listening);
	return teardown(state);
}

/* ---- bytes ---- */

static void every_pattern_arrives(struct remote_fixture *r)
{
	struct fixture *f = &r->copy;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		make_pattern(f, &patterns[i]);
		assert_runs(f);
		assert_same(f, patterns[i].size);
		assert_int_equal(
			f->result.copied + f->result.skipped, patterns[i].size);
		assert_int_equal(f->offsets[f->checkpoints - 1], patterns[i].size);
	}
}

static void used_target_is_overwritten(struct remote_fixture *r)
{
	struct fixture *f = &r->copy;

	f->options.target_is_new = false;
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		make_pattern(f, &patterns[i]);
		put_bytes(f->target.path, 0, patterns[i].size, 2);
		assert_runs(f);
		assert_same(f, patterns[i].size);
	}
}

static void the_bytes_arrive(void **state)
{
	struct remote_fixture *r = *state;

	serve(r, NULL, NULL);
	every_pattern_arrives(r);
}

static void the_bytes_arrive_over_tls(void **state)
{
	struct remote_fixture *r = *state;

	serve_tls(r);
	every_pattern_arrives(r);
}

/* Read by the thread that sends, piece by piece. */
static void what_is_in_memory_is_sent_piece_by_piece(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	char target[PATH_MAX];
	struct scratch memory;

	scratch_make(&memory);
	if (!scratch_mount(&memory, "tmpfs", "size=64m")) {
		scratch_remove(&memory);
		skip_because("cannot mount a tmpfs");
	}
	text_copy(target, sizeof(target), f->target.path);
	use_directory(f, memory.path, f->scratch.path);
	assert_string_equal(f->target.path, target);
	serve(r, NULL, NULL);
	every_pattern_arrives(r);
	used_target_is_overwritten(r);
	f->options.verify = COPY_VERIFY_NONE;
	used_target_is_overwritten(r);
	scratch_remove(&memory);
}

/* Such a server would not talk to a second connection. */
static void the_bytes_arrive_through_one_slow_connection(void **state)
{
	static const char *const options[] = { "--filter=delay", "--filter=noparallel",
		NULL };
	static const char *const parameters[] = { "wdelay=10ms",
		"serialize=connections", NULL };
	struct remote_fixture *r = *state;

	serve(r, options, parameters);
	every_pattern_arrives(r);
}

static void a_server_of_large_blocks_is_served_in_blocks(void **state)
{
	static const char *const options[] = { "--filter=blocksize-policy", NULL };
	static const char *const parameters[] = { "blocksize-minimum=64k",
		"blocksize-preferred=64k", "blocksize-maximum=64k",
		"blocksize-error-policy=error", NULL };
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	serve(r, options, parameters);
	make_pattern(f, &patterns[4]);
	assert_runs(f);
	assert_same(f, patterns[4].size);
	make_pattern(f, &patterns[5]);
	assert_fails(f, ERR_NOT_SUPPORTED, "takes blocks of 65536 bytes only");
}

static void what_was_in_the_target_before_is_gone(void **state)
{
	struct remote_fixture *r = *state;
	struct stat st;

	serve_tls(r);
	used_target_is_overwritten(r);
	/* Cleared by freeing, not by writing. */
	make_pattern(&r->copy, &patterns[0]);
	put_bytes(r->copy.target.path, 0, patterns[0].size, 2);
	assert_runs(&r->copy);
	assert_int_equal(stat(r->copy.target.path, &st), 0);
	assert_true(st.st_blocks < 64);
}

static void a_server_that_cannot_clear_gets_zeroes(void **state)
{
	static const char *const options[] = { "--filter=nozero", NULL };
	struct remote_fixture *r = *state;

	serve(r, options, NULL);
	used_target_is_overwritten(r);
}

static void a_stale_byte_in_a_new_target_is_a_mismatch(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	serve(r, NULL, NULL);
	make_pattern(f, &patterns[4]);
	put_byte(f->target.path, 17 * MIB + 5, 1);
	assert_fails(f, ERR_MISMATCH, "target differs from source at offset 17825797");
}

static void holes_stay_holes(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	struct stat st;

	serve(r, NULL, NULL);
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

static void a_hundred_gibibytes_of_hole_cost_nothing(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	struct rusage before, after;

	make_file(f->source.path, 100 * GIB);
	put_bytes(f->source.path, 50 * GIB + 4096, MIB, 1);
	make_file(f->target.path, 100 * GIB);
	serve_tls(r);
	f->options.size = 100 * GIB;
	f->options.checkpoint_bytes = 0;
	getrusage(RUSAGE_SELF, &before);
	assert_runs(f);
	getrusage(RUSAGE_SELF, &after);
	print_message(
		"100 GiB in %.3f s, %u calls\n", f->result.seconds, r->read_backs);
	assert_true(f->result.seconds < 2);
	assert_true(after.ru_maxrss - before.ru_maxrss < 48 * 1024);
	assert_true(r->most_read_back <= COPY_READ_BACK_CHUNKS * MIB);
	/* And when every hole has to be cleared. */
	f->options.target_is_new = false;
	assert_runs(f);
	print_message("100 GiB cleared in %.3f s\n", f->result.seconds);
	assert_true(f->result.seconds < 10);
}

static void the_receipt_is_that_of_a_local_copy(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	struct endpoint local = { 0 };
	struct copy_result result;

	serve_tls(r);
	snprintf(local.path, sizeof(local.path), "%.200s/local", f->scratch.path);
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		make_pattern(f, &patterns[i]);
		assert_runs(f);
		make_file(local.path, patterns[i].size);
		f->checkpoints = 0;
		assert_int_equal(
			copy_run(&f->source, &local, &f->options, &result, &f->err), 0);
		assert_string_equal(f->result.digest, result.digest);
	}
}

static void a_resumed_copy_equals_one_in_one_go(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	const struct pattern *pattern = &patterns[4];
	char receipt[40];
	unsigned count;

	serve_tls(r);
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

/* ---- what the other host says ---- */

static void without_read_back_the_server_is_asked(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	serve(r, NULL, NULL);
	make_pattern(f, &patterns[1]);
	f->options.read_back = NULL;
	assert_runs(f);
	assert_int_equal(f->result.verified, COPY_VERIFIED_SERVER);
	assert_string_not_equal(f->result.digest, "");
}

static void the_storage_and_the_server_may_differ(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	serve(r, NULL, NULL);
	make_pattern(f, &patterns[4]);
	r->lie_at = 9 * MIB;
	assert_fails(f, ERR_MISMATCH,
		"target differed from source at or after offset 9437184");
	r->lie_at = 17 * MIB;
	assert_fails(f, ERR_MISMATCH, "at or after offset 17825792");
}

static void a_failing_read_back_fails_the_copy(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	serve(r, NULL, NULL);
	make_pattern(f, &patterns[1]);
	r->read_back_fails = true;
	assert_fails(f, ERR_BACKEND, "the other host has no disk");
	assert_non_null(strstr(f->err.text, "read back target 'nbd://127.0.0.1:"));
}

static void copying_goes_on_while_the_other_host_reads(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	serve(r, NULL, NULL);
	make_file(f->source.path, 64 * MIB);
	put_bytes(f->source.path, 0, 64 * MIB, 1);
	make_file(f->target.path, 64 * MIB);
	f->options.size = 64 * MIB;
	r->read_back_hangs = true;
	r->cancel_after = 0.5;
	assert_fails(f, ERR_CANCELLED, "cancelled by the test");
	assert_int_equal(r->stops, 1);
	assert_int_equal(f->checkpoints, 0);
	assert_true(clock_seconds() - r->cancelled < 1);
	/* What comes after it was written meanwhile, to one interval in all, and no more. */
	unsigned char bytes[2];
	AUTO(fd) int fd = open(f->target.path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &bytes[0], 1, 3 * MIB), 1);
	assert_int_equal(pread(fd, &bytes[1], 1, 5 * MIB), 1);
	assert_true(bytes[0] != 0 && bytes[1] == 0);
}

/* ---- who is let in ---- */

static void a_wrong_key_is_refused(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	make_pattern(f, &patterns[1]);
	serve_tls(r);
	write_key(r, "client.psk",
		"ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
	use_key(r);
	assert_fails(f, ERR_IO, "cannot connect to target 'nbd://127.0.0.1:");
	print_message("%s\n", f->err.text);
	snprintf(f->target.nbd.psk_path, sizeof(f->target.nbd.psk_path), "/absent");
	assert_fails(f, ERR_IO, "target 'nbd://127.0.0.1:");
	print_message("%s\n", f->err.text);
}

static void a_client_without_tls_is_refused(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	make_pattern(f, &patterns[1]);
	serve_tls(r);
	f->target.nbd.username[0] = '\0';
	assert_fails(f, ERR_IO, "cannot connect to target 'nbd://127.0.0.1:");
	print_message("%s\n", f->err.text);
}

static void a_server_without_tls_is_refused(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	make_pattern(f, &patterns[1]);
	serve(r, NULL, NULL);
	write_key(r, "client.psk", "00112233445566778899aabbccddeeff");
	use_key(r);
	assert_fails(f, ERR_IO, "cannot connect to target 'nbd://127.0.0.1:");
	print_message("%s\n", f->err.text);
}

static void a_wrong_export_is_refused(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	make_pattern(f, &patterns[1]);
	serve_tls(r);
	snprintf(f->target.nbd.export, sizeof(f->target.nbd.export), "volume-2");
	assert_fails(f, ERR_IO, "/volume-2': ");
	print_message("%s\n", f->err.text);
}

static void what_is_no_target_is_refused(void **state)
{
	static const char *const options[] = { "--readonly", NULL };
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	struct endpoint source;

	make_pattern(f, &patterns[1]);
	serve(r, options, NULL);
	assert_fails(f, ERR_IO, "cannot be written");
	f->options.size = 10 * MIB;
	make_file(f->source.path, 10 * MIB);
	stop_server(r);
	assert_fails(f, ERR_LOST, "Connection refused");
	serve(r, NULL, NULL);
	assert_fails(f, ERR_IO, "has 9437184 bytes, fewer than the volume's 10485760");
	snprintf(f->target.nbd.host, sizeof(f->target.nbd.host), "localhost");
	assert_fails(f, ERR_INVALID_INPUT, "'localhost' is not the numeric address");
	source = f->source;
	f->source = f->target;
	assert_fails(f, ERR_INVALID_INPUT, "not the numeric address of a source");
	f->source = source;
	assert_int_equal(copy_verify_clone(&f->source, &f->target, &f->options,
				 &f->result, &f->err),
		-1);
	assert_int_equal(f->err.code, ERR_NOT_SUPPORTED);
}

/* ---- servers that fail ---- */

static void errors_name_the_offset(void **state)
{
	static const char *const options[] = { "--filter=error", NULL };
	static const struct {
		const char *const parameters[3];
		enum error_code code;
		const char *text, *what;
	} cases[] = {
		{ { "error-pwrite=EIO", "error-pwrite-rate=100%", NULL }, ERR_IO,
			": Input/output error", "cannot write target 'nbd://" },
		{ { "error-pwrite=ENOSPC", "error-pwrite-rate=100%", NULL },
			ERR_NO_SPACE, ": No space left on device",
			"cannot write target 'nbd://" },
		{ { "error-zero=EPERM", "error-zero-rate=100%", NULL }, ERR_IO,
			": Operation not permitted", "cannot clear target 'nbd://" },
	};
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	f->options.target_is_new = false;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		make_pattern(f, &patterns[i < 2 ? 1 : 0]);
		/* What is a hole already is not cleared. */
		put_bytes(f->target.path, 0, MIB, 5);
		serve(r, options, cases[i].parameters);
		assert_fails(f, cases[i].code, cases[i].text);
		/* Of the request that was answered first. */
		assert_non_null(strstr(f->err.text, cases[i].what));
		assert_non_null(strstr(f->err.text, "/" EXPORT "' at offset "));
		stop_server(r);
	}
}

static void make_large(struct fixture *f)
{
	make_file(f->source.path, 64 * MIB);
	put_bytes(f->source.path, 0, 64 * MIB, 1);
	make_file(f->target.path, 64 * MIB);
	f->options.size = 64 * MIB;
}

static void a_killed_server_ends_the_copy(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	for (int tls = 0; tls < 2; tls++) {
		make_large(f);
		if (tls)
			serve_tls(r);
		else
			serve(r, NULL, NULL);
		r->server_signal = SIGKILL;
		assert_fails(f, ERR_LOST, "went away at offset ");
		print_message("%s\n", f->err.text);
		stop_server(r);
	}
}

static void a_hanging_server_is_left_after_the_deadline(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	double before, seconds;

	for (int tls = 0; tls < 2; tls++) {
		make_large(f);
		if (tls)
			serve_tls(r);
		else
			serve(r, NULL, NULL);
		r->server_signal = SIGSTOP;
		f->options.deadline_s = 1.5;
		before = clock_seconds();
		assert_fails(f, ERR_TIMEOUT, "target 'nbd://127.0.0.1:");
		seconds = clock_seconds() - before;
		print_message("%s, after %.2f s\n", f->err.text, seconds);
		assert_non_null(strstr(f->err.text, "at offset "));
		assert_true(seconds >= 1.4 && seconds < 4);
		stop_server(r);
	}
}

static void a_server_that_never_answers_is_left_after_the_deadline(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	make_pattern(f, &patterns[1]);
	listen_somewhere(r);
	f->options.deadline_s = 0.6;
	assert_fails(f, ERR_TIMEOUT, "cannot connect to target 'nbd://127.0.0.1:");
	f->options.deadline_s = 30;
	r->cancel_after = 0.1;
	assert_fails(f, ERR_CANCELLED, "cancelled by the test");
}

static void a_slow_caller_is_not_the_servers_fault(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	serve(r, NULL, NULL);
	make_pattern(f, &patterns[1]);
	f->options.deadline_s = 0.3;
	f->options.rate_limit = 4 * MIB;
	assert_runs(f);
	assert_same(f, patterns[1].size);
	assert_true(f->result.seconds > 1.5);
}

static void cancelling_does_not_wait_for_the_server(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;

	make_large(f);
	serve_tls(r);
	r->server_signal = SIGSTOP;
	r->cancel_after = 0.5;
	f->options.deadline_s = 60;
	assert_fails(f, ERR_CANCELLED, "cancelled by the test");
	assert_true(clock_seconds() - r->cancelled < 1);
}

/* ---- faults ---- */

#ifdef DROVER_FAULTS
static void a_changed_byte_is_found_and_named(void **state)
{
	static const uint64_t places[] = { 9 * MIB + 1234567, 17 * MIB + 7,
		3 * MIB + 512 * KIB + 1 };
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	char text[64];
	int status;

	serve_tls(r);
	f->options.checkpoint_bytes = 64 * MIB;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		pid_t pid;

		make_pattern(f, &patterns[4]);
		pid = flip_when_held(f, places[i]);
		snprintf(text, sizeof(text),
			"target differs from source at offset %" PRIu64, places[i]);
		assert_fails(f, ERR_MISMATCH, text);
		assert_int_equal(f->checkpoints, 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		forget_held(f);
	}
}

static void every_fault_point_fails_the_copy(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	char faults[128];

	serve(r, NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		make_pattern(f, &patterns[4]);
		snprintf(faults, sizeof(faults), "%s=fail:no_space", points[i]);
		setenv("DROVER_FAULTS", faults, 1);
		assert_fails(f, ERR_NO_SPACE, points[i]);
	}
}

static void a_killed_copy_goes_on(void **state)
{
	struct remote_fixture *r = *state;
	struct fixture *f = &r->copy;
	char path[PATH_MAX], receipt[40];
	unsigned kills = 0;

	serve(r, NULL, NULL);
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
		f->options.target_is_new = false;
		assert_runs(f);
		assert_same(f, patterns[4].size);
		assert_string_equal(f->result.digest, receipt);
		close(f->saved);
		f->saved = -1;
	}
	assert_true(kills > 8);
}
#endif

#define TEST_REMOTE(name) \
	cmocka_unit_test_setup_teardown(name, setup_remote, teardown_remote)

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef DROVER_FAULTS
		/* First: the N of a point counts from the start of the process. */
		TEST_REMOTE(a_killed_copy_goes_on),
#endif
		TEST_REMOTE(the_bytes_arrive),
		TEST_REMOTE(the_bytes_arrive_over_tls),
		TEST_REMOTE(what_is_in_memory_is_sent_piece_by_piece),
		TEST_REMOTE(the_bytes_arrive_through_one_slow_connection),
		TEST_REMOTE(a_server_of_large_blocks_is_served_in_blocks),
		TEST_REMOTE(what_was_in_the_target_before_is_gone),
		TEST_REMOTE(a_server_that_cannot_clear_gets_zeroes),
		TEST_REMOTE(a_stale_byte_in_a_new_target_is_a_mismatch),
		TEST_REMOTE(holes_stay_holes),
		TEST_REMOTE(a_hundred_gibibytes_of_hole_cost_nothing),
		TEST_REMOTE(the_receipt_is_that_of_a_local_copy),
		TEST_REMOTE(a_resumed_copy_equals_one_in_one_go),
		TEST_REMOTE(without_read_back_the_server_is_asked),
		TEST_REMOTE(the_storage_and_the_server_may_differ),
		TEST_REMOTE(a_failing_read_back_fails_the_copy),
		TEST_REMOTE(copying_goes_on_while_the_other_host_reads),
		TEST_REMOTE(a_wrong_key_is_refused),
		TEST_REMOTE(a_client_without_tls_is_refused),
		TEST_REMOTE(a_server_without_tls_is_refused),
		TEST_REMOTE(a_wrong_export_is_refused),
		TEST_REMOTE(what_is_no_target_is_refused),
		TEST_REMOTE(errors_name_the_offset),
		TEST_REMOTE(a_killed_server_ends_the_copy),
		TEST_REMOTE(a_hanging_server_is_left_after_the_deadline),
		TEST_REMOTE(a_server_that_never_answers_is_left_after_the_deadline),
		TEST_REMOTE(a_slow_caller_is_not_the_servers_fault),
		TEST_REMOTE(cancelling_does_not_wait_for_the_server),
#ifdef DROVER_FAULTS
		TEST_REMOTE(a_changed_byte_is_found_and_named),
		TEST_REMOTE(every_fault_point_fails_the_copy),
#endif
	};

	if (system("nbdkit --version >/dev/null 2>&1") != 0) {
		print_message("skipped: nbdkit is missing\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
