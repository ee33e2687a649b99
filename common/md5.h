/* SPDX-License-Identifier: Apache-2.0 */
/* md5.h - MD5 (RFC 1321), for names that others form with it; it protects nothing. */
#ifndef COMMON_MD5_H
#define COMMON_MD5_H

#include <stddef.h>

#define MD5_TEXT_SIZE 33

/* 32 lower-case hex digits and a NUL. */
void md5_text(const void *data, size_t length, char out[MD5_TEXT_SIZE]);

#endif
