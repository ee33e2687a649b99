/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - the one way JSON text comes in and goes out.
 *
 * json-c alone lets invalid UTF-8, trailing garbage, NaN and over-long integers through
 * and escapes '/' on output; nothing else in the tree calls its parser or printer.
 * Objects are json-c's: get/put counted, AUTO(json_object_put).
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "common/auto.h"
#include "common/error.h"

#define JSON_MAX_DEPTH 64

static inline __attribute__((unused)) void auto_json_object_put(struct json_object **p)
{
	json_object_put(*p);
}

/* Parse exactly length bytes: one value, UTF-8, at most JSON_MAX_DEPTH deep, nothing but
 * white space behind it, no NaN or Infinity, no integer outside int64. ERR_INVALID_INPUT
 * says what is wrong and at which byte. *out may become NULL: that is JSON's null. */
int json_parse(
	const char *text, size_t length, struct json_object **out, struct error *err);

/* Typed members of an object. Each fails with ERR_INVALID_INPUT naming the key when the
 * member is missing, null or of another type. Strings are borrowed from the object and
 * are refused when they hold a NUL. Where a default makes sense, the _or form takes it
 * for a missing or null member (a wrong type is still an error). */
int json_get_string(
	struct json_object *o, const char *key, const char **out, struct error *err);
int json_get_string_or(struct json_object *o, const char *key, const char *fallback,
	const char **out, struct error *err);
int json_get_int(struct json_object *o, const char *key, int64_t min, int64_t max,
	int64_t *out, struct error *err);
int json_get_int_or(struct json_object *o, const char *key, int64_t min, int64_t max,
	int64_t fallback, int64_t *out, struct error *err);
int json_get_bool_or(struct json_object *o, const char *key, bool fallback, bool *out,
	struct error *err);
int json_get_double_or(struct json_object *o, const char *key, double fallback,
	double *out, struct error *err);
int json_get_object(struct json_object *o, const char *key, struct json_object **out,
	struct error *err); /* borrowed */
int json_get_array(struct json_object *o, const char *key, struct json_object **out,
	struct error *err); /* borrowed */

/* Text of a value, malloc'd; NULL object gives "null". NULL when out of memory. */
char *json_text(struct json_object *o);
char *json_text_pretty(struct json_object *o);

/* Add a member; value may be NULL (null) and is taken over in any case. Out of memory is
 * remembered nowhere: these abort, as the objects are small. */
void json_add(struct json_object *o, const char *key, struct json_object *value);
void json_add_string(struct json_object *o, const char *key, const char *value);
void json_add_int(struct json_object *o, const char *key, int64_t value);
void json_add_bool(struct json_object *o, const char *key, bool value);
void json_add_double(struct json_object *o, const char *key, double value);

#endif
