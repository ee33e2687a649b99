# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/test_placement
TESTS += tests/unit/test_placement

tests_unit_test_placement_SOURCES = tests/unit/test_placement.c
tests_unit_test_placement_LDADD = $(SCHEDULER_LIBS) $(CMOCKA_LIBS)

EXTRA_DIST += tests/integration/test_scheduler.py
