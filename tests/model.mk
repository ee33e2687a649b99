# SPDX-License-Identifier: Apache-2.0
# Explores millions of states: optimised, without sanitizers, whatever else is built how.
# Nothing of common/ but the table of phases, compiled once more.
check_PROGRAMS += tests/model/check-model
TESTS += tests/model/check-model

tests_model_check_model_SOURCES = \
	tests/model/explore.c tests/model/invariants.c tests/model/main.c \
	tests/model/model.h tests/model/owner.c tests/model/rules.c \
	tests/model/worker.c tests/model/world.c common/phase.c
tests_model_check_model_CFLAGS = -std=gnu17 $(WARNING_FLAGS) -O2
tests_model_check_model_LDFLAGS =

check_PROGRAMS += tests/model/check-compute
TESTS += tests/model/check-compute
tests_model_check_compute_SOURCES = tests/model/compute.c \
	tests/model/search.c tests/model/search.h
tests_model_check_compute_CFLAGS = -std=gnu17 $(WARNING_FLAGS) -O2
tests_model_check_compute_LDFLAGS =

check_PROGRAMS += tests/model/check-hypervisor
TESTS += tests/model/check-hypervisor
tests_model_check_hypervisor_SOURCES = tests/model/hypervisor.c \
	tests/model/search.c tests/model/search.h
tests_model_check_hypervisor_CFLAGS = -std=gnu17 $(WARNING_FLAGS) -O2
tests_model_check_hypervisor_LDFLAGS =

check_PROGRAMS += tests/unit/test_nova
TESTS += tests/unit/test_nova
tests_unit_test_nova_SOURCES = tests/unit/test_nova.c
tests_unit_test_nova_LDADD = volume-manager/libwork.a $(UNIT_LIBS)
