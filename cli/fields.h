/* SPDX-License-Identifier: Apache-2.0 */
/* fields.h - texts of rows as members of JSON objects. */
#ifndef CLI_FIELDS_H
#define CLI_FIELDS_H

#include "common/json.h"

/* Empty text becomes null. Text that is not UTF-8 (a long name that was cut within a
 * character) becomes what text_printable() makes of it. */
void fields_text(struct json_object *o, const char *key, const char *text);

#endif
