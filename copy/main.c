/* SPDX-License-Identifier: Apache-2.0 */
/* drover-copy - copies a disk image, a device or an export to another, and reads it back. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "copy/cipher.h"
#include "copy/control_fd.h"
#include "copy/job.h"
#include "copy/summary.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SIGNAL = 128 };

/* What a signal's handler needs. */
static struct copy_control control;
static struct job job;
static atomic_int caught;

/* Only atomic values and write(2) in here. While nothing was changed, a server that does
 * not answer holds nobody. */
static void on_signal(int number)
{
	static const char text[] = "drover-copy: cancelled, nothing was changed\n";

	if (atomic_load(&job.looking)) {
		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
		_exit(EXIT_SIGNAL + number);
	}
	atomic_store(&caught, number);
	atomic_store(&control.cancelled, true);
}

/* A second one of the same kind ends the process as usual. */
static void catch_signals(void)
{
	struct sigaction action = {
		.sa_handler = on_signal,
		.sa_flags = (int)SA_RESETHAND,
	};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/* In the thread that reads orders. As for signals, a server that does not answer holds
 * nobody: the main thread waits for it, and uses nothing of this. */
static void on_order(void *arg, const struct error *wrong)
{
	struct error err;

	if (wrong)
		bar_message(arg, "control: %s", wrong->text);
	if (!atomic_load(&control.cancelled) || !atomic_load(&job.looking))
		return;
	error_set(&err, ERR_CANCELLED, "cancelled, nothing was changed");
	bar_message(arg, "%s", err.text);
	events_end(job.events, summary_event(&job, &err));
	_exit(EXIT_FAILED);
}

static int run(const struct command *command, struct bar *bar, struct error *err)
{
	AUTO(control_fd_stop) struct control_fd *control_fd = NULL;

	if (command->control_fd >= 0 &&
		control_fd_start(command->control_fd, &control, on_order, bar,
			&control_fd, err) < 0)
		return -1;
	return job_run(&job, err);
}

/* What was printed must have arrived; a reader that went away knows that. */
static int print_json(struct error *err)
{
	AUTO(json_object_put) struct json_object *o = summary_json(&job);
	AUTO(free) char *text = json_text_pretty(o);

	if (!text)
		return error_no_memory(err);
	if (puts(text) == EOF || fflush(stdout) == EOF)
		return error_set_errno(err, ERR_IO, "cannot write the summary");
	return 0;
}

static int tell_success(
	const struct command *command, struct bar *bar, struct error *err)
{
	AUTO(free) char *text = summary_text(&job);

	if (!text)
		return error_no_memory(err);
	if (!command->quiet)
		bar_message(bar, "%s", text);
	return command->json ? print_json(err) : 0;
}

static void tell_failure(struct bar *bar, const struct error *err)
{
	int number = atomic_load(&caught);

	if (err->code == ERR_CANCELLED)
		bar_message(bar, "cancelled%s at offset %" PRIu64,
			number == SIGINT            ? " by SIGINT"
				: number == SIGTERM ? " by SIGTERM"
						    : "",
			job.progress.position);
	else
		bar_message(bar, "%s", err->text);
	if (job_can_go_on(&job))
		fprintf(stderr,
			"hint: the same command%s goes on from offset %" PRIu64 "\n",
			ends_cannot_tell(&job.ends) && !job.command->resume
				? " with --resume"
				: "",
			job.checkpoint.offset);
	else if (err->code == ERR_CANCELLED && job.begun && !job.file)
		fputs("hint: with --checkpoint=FILE it could go on from there\n",
			stderr);
}

static int exit_status(const struct error *err)
{
	int number = atomic_load(&caught);

	if (err->code == ERR_CANCELLED && number)
		return EXIT_SIGNAL + number;
	return err->code == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

static int copy(const struct command *command)
{
	struct bar bar;
	struct events events;
	struct error err;
	int failed;

	bar_open(&bar, !command->quiet && !command->no_progress);
	events_open(&events, command->progress_fd);
	job_init(&job, command, &control, &bar, &events);
	catch_signals();
	failed = run(command, &bar, &err);
	events_end(&events, summary_event(&job, failed ? &err : NULL));
	bar_close(&bar);
	if (failed)
		tell_failure(&bar, &err);
	else if (tell_success(command, &bar, &err) < 0) {
		bar_message(&bar, "%s", err.text);
		failed = -1;
	}
	job_clear(&job);
	return failed ? exit_status(&err) : EXIT_DONE;
}

static bool is_tls(const struct endpoint *end)
{
	return strncmp(end->uri, "nbds", 4) == 0;
}

/* GnuTLS has read its environment already, so it is told by beginning once more. */
static void prefer_fast_cipher(const struct command *command, char **argv)
{
	if ((is_tls(&command->source) || is_tls(&command->target)) &&
		cipher_prefer_fast())
		execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	struct command command;
	struct error err;

	log_open("drover-copy", LOG_LEVEL_ERROR);
	if (command_parse(argc, argv, &command, &err) < 0) {
		fprintf(stderr, "drover-copy: %s\n", err.text);
		return EXIT_USAGE;
	}
	if (command.help)
		command_help(stdout);
	else if (command.version)
		puts("drover-copy " PACKAGE_VERSION);
	else {
		prefer_fast_cipher(&command, argv);
		return copy(&command);
	}
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
