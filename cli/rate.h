/* SPDX-License-Identifier: Apache-2.0 */
/* rate.h - how fast a migration may go, on the command line. */
#ifndef CLI_RATE_H
#define CLI_RATE_H

#include <stdint.h>

#include "common/error.h"

/* "50M": bytes per second, with K, M, G or T; "none": 0. ERR_USAGE. */
int rate_from_text(const char *text, int64_t *out, struct error *err);

#endif
