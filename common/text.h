/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - small things with strings, numbers and times. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* malloc'd, NULL when out of memory. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Copy into out, cut where it does not fit, never in the middle of a UTF-8 character. */
void text_copy(char *out, size_t size, const char *text);
/* Take the part of a character off that a cut has left at the end. */
void text_end_whole(char *text);

/* Random UUIDs (version 4), lower case: 36 characters and a NUL; or 32 hex digits. */
#define UUID_TEXT_SIZE 37
void uuid_make(char out[UUID_TEXT_SIZE]);
#define HEX_ID_SIZE 33
void hex_id_make(char out[HEX_ID_SIZE]);
/* Is it a UUID in the form 8-4-4-4-12, lower or upper case? */
bool uuid_is(const char *text);

/* Whole decimal number in [min, max], nothing around it. */
int text_to_int(
	const char *text, int64_t min, int64_t max, int64_t *out, struct error *err);
/* Finite number, C locale, nothing around it. */
int text_to_double(const char *text, double *out, struct error *err);
/* Bytes as people write them, "4096", "100M": times 1024 for each step of K, M, G, T; at most
 * INT64_MAX. ERR_USAGE. */
int text_to_bytes(const char *text, uint64_t *out, struct error *err);

/* "512 B", "1.5 MiB", "40.0 TiB". */
#define SIZE_TEXT_SIZE 24
const char *text_size(char out[SIZE_TEXT_SIZE], uint64_t bytes);

/* Number to text on the spot, for statement parameters: NUM(5). Lives as long as the
 * enclosing block. */
const char *num_text(char out[24], int64_t value);
#define NUM(value) num_text((char[24]) { 0 }, (int64_t)(value))
#define BOOL_TEXT(value) ((value) ? "true" : "false")

/* Monotonic time in seconds, for deadlines; never goes back. */
double clock_seconds(void);

/* Damerau-Levenshtein distance, at most limit + 1: to name the nearest known word. */
unsigned text_distance(const char *a, const char *b, unsigned limit);

/* A name that may become part of a file name or a routing key: 1 to 255 bytes of letters,
 * digits, '.', '_', '-', '@', '#', '+', ':' and not "." or "..". */
bool name_is_safe(const char *text);

/* Bytes of the UTF-8 character that text begins with, of left bytes; 0 when it is none
 * (RFC 3629: no surrogates, no over-long forms, nothing above U+10FFFF). */
size_t text_utf8_size(const char *text, size_t left);

#endif
