# SPDX-License-Identifier: Apache-2.0
integration_tests += \
	tests/integration/test_schema \
	tests/integration/test_schema_later
check_PROGRAMS += tests/integration/schema_tool
EXTRA_DIST += tests/integration/test_db_sync.py

tests_integration_test_schema_SOURCES = \
	tests/integration/test_schema.c tests/integration/schema_fixture.h
tests_integration_test_schema_LDADD = $(UNIT_LIBS)
tests_integration_test_schema_later_SOURCES = \
	tests/integration/test_schema_later.c tests/integration/schema_fixture.h
tests_integration_test_schema_later_LDADD = $(UNIT_LIBS)
tests_integration_schema_tool_SOURCES = tests/integration/schema_tool.c
tests_integration_schema_tool_LDADD = $(COMMON_LIBS)
