# SPDX-License-Identifier: Apache-2.0
conf_unit_tests = \
	tests/unit/test_text \
	tests/unit/test_json \
	tests/unit/test_conf \
	tests/unit/test_url \
	tests/unit/test_settings
check_PROGRAMS += $(conf_unit_tests) tests/unit/conf_print
TESTS += $(conf_unit_tests) tests/unit/compare_oslo_config.sh
EXTRA_DIST += tests/unit/compare_oslo_config.sh tests/unit/compare_oslo_config.py \
	tests/fuzz/fuzz_conf.c tests/fuzz/fuzz_json.c

tests_unit_test_text_SOURCES = tests/unit/test_text.c
tests_unit_test_text_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_text_LDADD = $(UNIT_LIBS)
tests_unit_test_json_SOURCES = tests/unit/test_json.c
tests_unit_test_json_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_json_LDADD = $(UNIT_LIBS)
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_conf_LDADD = $(UNIT_LIBS)
tests_unit_test_url_SOURCES = tests/unit/test_url.c
tests_unit_test_url_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_url_LDADD = $(UNIT_LIBS)
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c
tests_unit_test_settings_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_settings_LDADD = $(UNIT_LIBS)
tests_unit_conf_print_SOURCES = tests/unit/conf_print.c
tests_unit_conf_print_LDADD = $(COMMON_LIBS)
