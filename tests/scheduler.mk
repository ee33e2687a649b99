# SPDX-License-Identifier: Apache-2.0
scheduler_unit_tests = \
	tests/unit/test_capacity \
	tests/unit/test_placement \
	tests/unit/test_placement_random \
	tests/unit/test_pools \
	tests/unit/test_specs
check_PROGRAMS += $(scheduler_unit_tests) tests/unit/specs_print
TESTS += $(scheduler_unit_tests) tests/unit/compare_extra_specs.sh

tests_unit_test_capacity_SOURCES = tests/unit/test_capacity.c
tests_unit_test_capacity_LDADD = $(SCHEDULER_LIBS) $(CMOCKA_LIBS)
tests_unit_test_placement_SOURCES = tests/unit/test_placement.c tests/unit/reports.h
tests_unit_test_placement_LDADD = $(SCHEDULER_LIBS) $(CMOCKA_LIBS)
tests_unit_test_placement_random_SOURCES = tests/unit/test_placement_random.c \
	tests/unit/reports.h
tests_unit_test_placement_random_LDADD = $(SCHEDULER_LIBS) $(CMOCKA_LIBS)
tests_unit_test_pools_SOURCES = tests/unit/test_pools.c tests/unit/reports.h
tests_unit_test_pools_LDADD = $(SCHEDULER_LIBS) $(CMOCKA_LIBS)
tests_unit_test_specs_SOURCES = tests/unit/test_specs.c
tests_unit_test_specs_LDADD = $(SCHEDULER_LIBS) $(CMOCKA_LIBS)
tests_unit_specs_print_SOURCES = tests/unit/specs_print.c
tests_unit_specs_print_LDADD = $(SCHEDULER_LIBS)

EXTRA_DIST += tests/integration/test_scheduler.py \
	tests/integration/test_scheduler_requests.py \
	tests/unit/compare_extra_specs.sh tests/unit/compare_extra_specs.py
