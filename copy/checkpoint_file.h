/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint_file.h - a file that tells how far a copy is, and of what.
 *
 * Text with a version and a digest over all of it, written beside and renamed, so that it
 * is whole or the one before. Locked while it is used: flock(2) of what the name leads to.
 */
#ifndef COPY_CHECKPOINT_FILE_H
#define COPY_CHECKPOINT_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/auto.h"
#include "copy/copy.h"

#define CHECKPOINT_TEXT_MAX 32768 /* bytes; two long names fit */

struct checkpoint_end {
	char name[ENDPOINT_URI_SIZE];
	struct endpoint_facts facts;
};

struct checkpoint {
	struct checkpoint_end source, target;
	enum copy_verify verify;
	uint64_t offset;
	char chain[40]; /* empty: nothing was verified */
};

/* *text is malloc'd. */
int checkpoint_to_text(
	const struct checkpoint *checkpoint, char **text, struct error *err);
/* ERR_INVALID_INPUT for anything but what checkpoint_to_text() makes. */
int checkpoint_from_text(
	const char *text, size_t length, struct checkpoint *out, struct error *err);

/* Is saved of this copy? Else ERR_INVALID_INPUT says what is different and what to do.
 * Where a copy goes on is not compared. */
int checkpoint_check(const struct checkpoint *saved, const struct checkpoint *now,
	struct error *err);

struct checkpoint_file;

/* Lock it and read it; *exists is false when there is none, and the first write makes it.
 * path is borrowed. ERR_EXISTS when another copy uses it. */
int checkpoint_file_open(const char *path, struct checkpoint_file **out, bool *exists,
	struct checkpoint *found, struct error *err);
/* Durable on return. */
int checkpoint_file_write(struct checkpoint_file *file,
	const struct checkpoint *checkpoint, struct error *err);
/* The copy is done: it goes away. */
int checkpoint_file_remove(struct checkpoint_file *file, struct error *err);
/* Unlocks; the file stays. */
void checkpoint_file_close(struct checkpoint_file *file);
DEFINE_AUTO(struct checkpoint_file *, checkpoint_file_close)

#endif
