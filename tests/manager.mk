# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/test_connection
TESTS += tests/unit/test_connection

tests_unit_test_connection_SOURCES = tests/unit/test_connection.c
tests_unit_test_connection_LDADD = volume-manager/libmanager.a $(BACKEND_TEST_LIBS)
