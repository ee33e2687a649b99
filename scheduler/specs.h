/* SPDX-License-Identifier: Apache-2.0 */
/* specs.h - do a pool's capabilities meet the extra specs of a volume type? As Cinder's
 * CapabilitiesFilter judges them. Pure. */
#ifndef SCHEDULER_SPECS_H
#define SCHEDULER_SPECS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/json.h"

/* Does one reported value meet a requirement: ">= 5", "<is> True", "<or> a <or> b", "fast"?
 * Without an operator the texts must be equal. value NULL is JSON's null; required NULL is
 * met by that alone. What would be a type error in Python is not met. */
bool spec_matches(struct json_object *value, const char *required);

/* Are all specs (an object of texts; NULL: none) met? Those of scopes other than
 * "capabilities" are not about pools. If not, why: a reason to be put behind the pool's
 * name. */
bool specs_are_met(struct json_object *capabilities, struct json_object *specs,
	char *why, size_t size);

#endif
