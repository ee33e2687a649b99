/* SPDX-License-Identifier: Apache-2.0 */
/* ends.h - the two ends of drover-copy's copy: looked at, refused, made to fit. */
#ifndef COPY_ENDS_H
#define COPY_ENDS_H

#include <stdbool.h>

#include "copy/copy.h"

struct ends {
	const struct endpoint *source, *target;
	double deadline_s;
	struct endpoint_facts source_facts, target_facts;
	bool target_exists;
	bool target_made; /* it is a file, and was made just now */
};

/* Look at both; changes nothing. Fails where source and target are the same, or cannot be
 * copied from or to. source and target are borrowed. */
int ends_look(struct ends *ends, const struct endpoint *source,
	const struct endpoint *target, double deadline_s, struct error *err);

/* Make the target, or set a file to the source's size: what is beyond is cut. */
int ends_fit_target(struct ends *ends, struct error *err);

/* The target was made, but nothing was copied: take it away again. */
void ends_undo(struct ends *ends);

/* After the copy. ERR_INVALID_INPUT when the source is a file and was written to. */
int ends_check_source(const struct ends *ends, struct error *err);

/* Bytes of the target that lie behind the copy and are left alone. */
uint64_t ends_beyond(const struct ends *ends);
/* Is one of them a server? A device or a server? */
bool ends_have_server(const struct ends *ends);
bool ends_cannot_tell(const struct ends *ends);

#endif
