/* SPDX-License-Identifier: Apache-2.0 */
/* drover-scheduler - chooses the pools for new and migrating volumes. */
#include <stdio.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/program.h"
#include "scheduler/service.h"

static void on_stop(void *arg)
{
	scheduler_stop(arg);
}

static int run(const struct settings *settings, struct error *err)
{
	AUTO(loop_free) struct loop *loop = NULL;
	AUTO(scheduler_free) struct scheduler *scheduler = NULL;

	if (loop_new(&loop, err) < 0 ||
		scheduler_new(loop, settings, &scheduler, err) < 0)
		return -1;
	loop_on_stop(loop, on_stop, scheduler);
	loop_run(loop);
	return 0;
}

int main(int argc, char **argv)
{
	AUTO(program_clear)
	struct program program = {
		.name = "drover-scheduler",
		.help = "chooses the pools for new and migrating volumes",
	};
	struct error err;
	int status = program_start(&program, argc, argv);

	if (status >= 0)
		return status;
	if (program.first < argc) {
		fprintf(stderr, "drover-scheduler: unknown argument '%s'\n",
			argv[program.first]);
		return 2;
	}
	if (run(program.settings, &err) < 0) {
		log_error("cannot run reason='%s'", err.text);
		return err.code == ERR_CONFIG ? 2 : 1;
	}
	return 0;
}
