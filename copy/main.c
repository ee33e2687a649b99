/* SPDX-License-Identifier: Apache-2.0 */
/* drover-copy - copies a volume, a disk image or a device to another. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/auto.h"
#include "common/log.h"
#include "common/text.h"
#include "copy/copy.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* A file becomes as large as the source. */
static int prepare_target(const char *path, uint64_t size, struct error *err)
{
	AUTO(fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
	struct stat st;

	if (fd < 0)
		return error_set_errno(err, ERR_IO, "cannot open target '%s'", path);
	if (fstat(fd, &st) < 0 ||
		(S_ISREG(st.st_mode) && ftruncate(fd, (off_t)size) < 0))
		return error_set_errno(
			err, ERR_IO, "cannot set the size of target '%s'", path);
	return 0;
}

static int run(char **argv, struct error *err)
{
	struct endpoint source, target;
	struct endpoint_facts facts;
	struct copy_options options = { 0 };
	struct copy_result result;

	if (!argv[1] || !argv[2] || argv[3])
		return error_set(err, ERR_USAGE, "usage: drover-copy SOURCE TARGET");
	if (endpoint_parse(argv[1], &source, err) < 0 ||
		endpoint_parse(argv[2], &target, err) < 0 ||
		endpoint_look(&source, "source", 0, &facts, err) < 0)
		return -1;
	if (target.path[0] && prepare_target(target.path, facts.size, err) < 0)
		return -1;
	options.size = facts.size;
	if (copy_run(&source, &target, &options, &result, err) < 0)
		return -1;
	fprintf(stderr, "copied %" PRIu64 " bytes, receipt %s\n", result.copied,
		result.digest);
	return 0;
}

int main(int argc, char **argv)
{
	struct error err;

	signal(SIGPIPE, SIG_IGN);
	log_open("drover-copy", LOG_LEVEL_ERROR);
	if (argc > 0 && run(argv, &err) == 0)
		return EXIT_DONE;
	fprintf(stderr, "drover-copy: %s\n", err.text);
	return err.code == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
