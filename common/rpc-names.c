/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc-names.h"

#include <stdio.h>

static int check(int length, const char *topic, struct error *err)
{
	/* "_fanout_" and 32 digits must fit behind it. */
	if (length > 0 && length < ROUTING_KEY_SIZE - 40)
		return 0;
	return error_set(
		err, ERR_INVALID_INPUT, "'%.64s...' is too long for a queue", topic);
}

int name_queue(char out[ROUTING_KEY_SIZE], const char *topic, const char *server,
	struct error *err)
{
	return check(snprintf(out, ROUTING_KEY_SIZE, "%s%s%s", topic, server ? "." : "",
			     server ? server : ""),
		topic, err);
}

int name_fanout(char out[ROUTING_KEY_SIZE], const char *topic, struct error *err)
{
	return check(snprintf(out, ROUTING_KEY_SIZE, "%s_fanout", topic), topic, err);
}
