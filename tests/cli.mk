# SPDX-License-Identifier: Apache-2.0
cli_unit_tests = tests/unit/test_cli tests/unit/test_docs
check_PROGRAMS += $(cli_unit_tests)
TESTS += $(cli_unit_tests)

tests_unit_test_cli_SOURCES = tests/unit/test_cli.c
tests_unit_test_cli_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_cli_LDADD = cli/libcli.a $(UNIT_LIBS)
tests_unit_test_docs_SOURCES = tests/unit/test_docs.c
tests_unit_test_docs_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_docs_LDADD = $(UNIT_LIBS)

integration_tests += tests/integration/test_details
tests_integration_test_details_SOURCES = \
	tests/integration/test_details.c tests/integration/schema_fixture.h
tests_integration_test_details_LDADD = $(UNIT_LIBS)
