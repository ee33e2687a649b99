/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - where a volume is: "host@backend#pool". */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <stdbool.h>

#include "common/error.h"

#define ADDRESS_SIZE 256

struct address {
	char host[ADDRESS_SIZE]; /* "server1" */
	char backend[ADDRESS_SIZE]; /* "server1@fast": with the host */
	char pool[ADDRESS_SIZE]; /* "pool", empty when there is none */
};

/* Split and check: printable, no spaces, one '@', at most one '#', both sides not empty.
 * ERR_INVALID_HOST. */
int address_parse(const char *text, struct address *out, struct error *err);

/* Are both on the same backend, whatever the pools? */
bool address_same_backend(const char *a, const char *b);
/* Equal, where a missing pool on either side stands for any. */
bool address_matches(const char *a, const char *b);

/* "cinder-volume.server1@fast": the RPC topic of a backend (pool removed). */
void address_topic(const struct address *address, char out[ADDRESS_SIZE + 16]);

#endif
