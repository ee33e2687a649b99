/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - driver file over a directory that another driver has found and checked.
 *
 * file_driver's calls take the state; file_driver.close() ends it.
 */
#ifndef VOLUME_MANAGER_DRIVERS_FILE_H
#define VOLUME_MANAGER_DRIVERS_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

struct file_place {
	const char *path; /* of the directory; borrowed for the state's life */
	const char *backend; /* its name, for messages; borrowed */
	mode_t mode; /* of new files */
	bool thick; /* new files have all their blocks */
};

/* fd: the directory, open; the state's from now on, also when this fails. */
int file_open_place(
	const struct file_place *place, int fd, void **state, struct error *err);
/* Of files that are made from now on. */
void file_set_mode(void *state, mode_t mode);

#endif
