/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a checkpoint: what is taken must be written as the same bytes, and a copy
 * must not go on behind its end. As the digest keeps nearly everything out, each input is
 * also tried with the right one behind it.
 *
 * Built by hand, in a build directory:
 *	clang -g -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -include config.h -I. \
 *		-I$srcdir $(pkg-config --cflags --libs libxxhash uuid) -lm \
 *		-o fuzz_checkpoint $srcdir/tests/fuzz/fuzz_checkpoint.c \
 *		$srcdir/copy/{checkpoint_text,digest}.c $srcdir/common/{text,error}.c
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "copy/checkpoint_file.h"
#include "copy/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_text(const char *text, size_t length)
{
	struct checkpoint checkpoint;
	struct error err = { 0 };
	AUTO(free) char *again = NULL;

	if (checkpoint_from_text(text, length, &checkpoint, &err) < 0) {
		if (err.code != ERR_INVALID_INPUT || !err.text[0])
			abort();
		return;
	}
	if (checkpoint_to_text(&checkpoint, &again, &err) < 0 ||
		strlen(again) != length || memcmp(again, text, length) != 0 ||
		checkpoint.offset > checkpoint.source.facts.size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free) char *body = strndup((const char *)data, size);
	AUTO(free) char *whole = NULL;
	struct copy_digest digest;
	char sum[DIGEST_TEXT_SIZE];

	try_text((const char *)data, size);
	if (!body)
		return 0;
	digest_of(body, strlen(body), &digest);
	digest_to_text(&digest, sum);
	whole = text_format("%ssum %s\n", body, sum);
	if (whole)
		try_text(whole, strlen(whole));
	return 0;
}
