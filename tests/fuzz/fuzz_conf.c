/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration file: read it, expand every value, read numbers and lists.
 *
 * Built by hand, in a build directory:
 *	clang -g -fsanitize=fuzzer,address,undefined -include config.h -I. -I$srcdir \
 *		$(pkg-config --cflags --libs json-c uuid) -lm -o fuzz_conf \
 *		$srcdir/tests/fuzz/fuzz_conf.c \
 *		$srcdir/common/{conf,url,text,json,error,log}.c
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct values {
	char *a;
	bool b;
	int64_t c;
	double d;
	char **e;
};

static const struct option options[] = {
	{ "a", OPTION_STRING, offsetof(struct values, a), "$b", 0, 0, "" },
	{ "b", OPTION_BOOL, offsetof(struct values, b), NULL, 0, 0, "" },
	{ "c", OPTION_INT, offsetof(struct values, c), NULL, 0, 0, "" },
	{ "d", OPTION_FLOAT, offsetof(struct values, d), NULL, 0, 0, "" },
	{ "e", OPTION_LIST, offsetof(struct values, e), "$a,x", 0, 0, "" },
};

/* The same value as both URLs. */
static void try_urls(const char *text)
{
	AUTO(free) char *conninfo = NULL;
	struct rabbit_url url = { 0 };
	struct error err = { 0 };

	(void)url_to_conninfo(text, &conninfo, &err);
	if (rabbit_url_parse(text, &url, &err) < 0)
		return;
	for (const char *query = url.query;;) {
		AUTO(free) char *name = NULL, *value = NULL;
		if (rabbit_url_next_option(&query, &name, &value, &err) <= 0)
			break;
	}
	rabbit_url_clear(&url);
}

static void try_section(struct conf *conf, const char *section)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		struct values v = { 0 };
		struct error err = { 0 };
		if (conf_read(conf, section, "DEFAULT", &options[i], 1, &v, &err) ==
				0 &&
			v.a)
			try_urls(v.a);
		conf_clear(options, ARRAY_SIZE(options), &v);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(conf_free) struct conf *conf = NULL;
	struct error err = { 0 };

	if (conf_parse("fuzz", (const char *)data, size, &conf, &err) < 0)
		return 0;
	if (conf_add_defaults(conf, "DEFAULT", options, ARRAY_SIZE(options), &err) < 0)
		return 0;
	for (size_t i = 0; i < 8 && conf_section(conf, i); i++)
		try_section(conf, conf_section(conf, i));
	return 0;
}
