# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/test_connection tests/unit/test_slots
TESTS += tests/unit/test_connection tests/unit/test_slots

tests_unit_test_slots_SOURCES = tests/unit/test_slots.c
tests_unit_test_slots_LDADD = volume-manager/libmanager.a $(COMMON_LIBS) $(CMOCKA_LIBS)

tests_unit_test_connection_SOURCES = tests/unit/test_connection.c
tests_unit_test_connection_LDADD = volume-manager/libmanager.a $(BACKEND_TEST_LIBS)
