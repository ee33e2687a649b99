/* SPDX-License-Identifier: Apache-2.0 */
/* suspects.h - messages during whose handling a process has ended.
 *
 * A message that is delivered again is noted in a small file for the time of its handling.
 * A note that is found later tells that the process did not come out of it alive. One
 * unique id per line; the newest 4 KiB are kept. When the file cannot be read or written
 * that is one warning, and it is left alone until the process starts again.
 */
#ifndef COMMON_SUSPECTS_H
#define COMMON_SUSPECTS_H

#include <stdbool.h>

#include "common/error.h"

struct suspects {
	const char *path; /* borrowed; NULL: no file */
	bool broken; /* the warning was given */
};

/* How often this message is noted. */
unsigned suspects_count(struct suspects *suspects, const char *unique_id);
/* Add a note, on disk when this returns. */
void suspects_note(struct suspects *suspects, const char *unique_id);
/* It was handled: remove all its notes. */
void suspects_clear(struct suspects *suspects, const char *unique_id);

#endif
