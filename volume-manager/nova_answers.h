/* SPDX-License-Identifier: Apache-2.0 */
/* nova_answers.h - what Keystone and Compute say, taken apart. Their input is hostile:
 * any bytes of bounded length. */
#ifndef VOLUME_MANAGER_NOVA_ANSWERS_H
#define VOLUME_MANAGER_NOVA_ANSWERS_H

#include <stddef.h>
#include <time.h>

#include "common/error.h"
#include "common/json.h"
#include "common/settings.h"
#include "volume-manager/nova.h"

#define NOVA_URL_MAX 1024

/* The request for a token. */
struct json_object *nova_auth_body(const struct nova_settings *settings);
/* Compute's URL in the catalogue that came with the token, without '/' at its end, and when
 * the token ends. With endpoint_override the catalogue is not looked at. */
int nova_take_token(const struct nova_settings *settings, const char *body,
	size_t length, char url[NOVA_URL_MAX], time_t *ends, struct error *err);
/* Why a request failed, in the words of the answer: ERR_COMPUTE, returns -1. */
int nova_words(long status, const char *body, size_t length, const char *asked,
	struct error *err);
/* Is the answer Compute's word that what was asked for does not exist? */
bool nova_is_gone(const char *body, size_t length);
int nova_take_server(
	const char *body, size_t length, struct nova_server *out, struct error *err);
int nova_take_attached(const char *body, size_t length, const char *source_id,
	const char *target_id, bool *source, bool *target, struct error *err);

#endif
