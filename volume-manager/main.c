/* SPDX-License-Identifier: Apache-2.0 */
/* drover-volume-manager - carries out migrations for the backends of one host. */
#include <stdio.h>

#include "common/log.h"
#include "common/program.h"
#include "copy/cipher.h"
#include "volume-manager/manager.h"

int main(int argc, char **argv)
{
	AUTO(program_clear)
	struct program program = { .name = "drover-volume-manager",
		.help = "creates, serves and migrates the volumes of one host" };
	AUTO(loop_free) struct loop *loop = NULL;
	AUTO(manager_free) struct manager *manager = NULL;
	struct error err;
	int status = program_start(&program, argc, argv);

	if (status >= 0)
		return status;
	if (program.first < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", program.name,
			argv[program.first]);
		return 2;
	}
	cipher_prefer_fast();
	if (loop_new(&loop, &err) < 0 ||
		manager_new(&program, loop, &manager, &err) < 0) {
		fprintf(stderr, "%s: %s\n", program.name, err.text);
		return err.code == ERR_CONFIG ? 2 : 1;
	}
	log_info("started version=%s host=%s", PACKAGE_VERSION, program.settings->host);
	manager_start(manager);
	loop_run(loop);
	return manager->lost ? 1 : 0;
}
