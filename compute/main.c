/* SPDX-License-Identifier: Apache-2.0 */
/* drover-compute - attaches volumes to the guests of this host, and moves their disks. */
#include <signal.h>
#include <stdio.h>

#include <libxml/parser.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/program.h"
#include "compute/service.h"

static void on_stop(void *arg)
{
	compute_stop(arg);
}

static int run(const struct settings *settings, struct error *err)
{
	AUTO(loop_free) struct loop *loop = NULL;
	AUTO(compute_free) struct compute *compute = NULL;

	if (loop_new(&loop, err) < 0)
		return -1;
	/* Nothing in the loop has children; a thread waits for mount(8) itself. */
	signal(SIGCHLD, SIG_DFL);
	if (compute_new(loop, settings, &compute, err) < 0)
		return -1;
	loop_on_stop(loop, on_stop, compute);
	loop_run(loop);
	return 0;
}

int main(int argc, char **argv)
{
	AUTO(program_clear)
	struct program program = {
		.name = "drover-compute",
		.help = "attaches volumes to guests, and moves their disks",
		.no_database = true,
	};
	struct error err;
	int status = program_start(&program, argc, argv);

	if (status >= 0)
		return status;
	if (program.first < argc) {
		fprintf(stderr, "drover-compute: unknown argument '%s'\n",
			argv[program.first]);
		return 2;
	}
	xmlInitParser();
	if (run(program.settings, &err) < 0) {
		log_error("cannot run reason='%s'", err.text);
		return err.code == ERR_CONFIG ? 2 : 1;
	}
	return 0;
}
