# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/test_phase tests/unit/test_address tests/unit/print_states
TESTS += tests/unit/test_phase tests/unit/test_address

tests_unit_test_phase_SOURCES = tests/unit/test_phase.c
tests_unit_test_phase_LDADD = $(UNIT_LIBS)
tests_unit_test_address_SOURCES = tests/unit/test_address.c
tests_unit_test_address_LDADD = $(UNIT_LIBS)
# Makes docs/states.md.
tests_unit_print_states_SOURCES = tests/unit/print_states.c
tests_unit_print_states_LDADD = $(COMMON_LIBS)

store_fixture = \
	tests/integration/schema_fixture.h \
	tests/integration/store_fixture.c tests/integration/store_fixture.h

integration_tests += \
	tests/integration/test_db \
	tests/integration/test_db_lost

tests_integration_test_db_SOURCES = \
	tests/integration/test_db.c tests/integration/schema_fixture.h
tests_integration_test_db_LDADD = $(UNIT_LIBS) -lpthread
tests_integration_test_db_lost_SOURCES = tests/integration/test_db_lost.c \
	tests/integration/relay.c tests/integration/relay.h \
	tests/integration/schema_fixture.h
tests_integration_test_db_lost_LDADD = $(UNIT_LIBS) -lpthread

# The functions of store/, a file of tests for each part of a volume's life.
integration_tests += \
	tests/integration/test_store_check \
	tests/integration/test_store_migrations \
	tests/integration/test_store_work \
	tests/integration/test_store_switch \
	tests/integration/test_store_back \
	tests/integration/test_store_orphans \
	tests/integration/test_store_volumes \
	tests/integration/test_store_services \
	tests/integration/test_store_operations \
	tests/integration/test_store_delete \
	tests/integration/test_store_exports \
	tests/integration/test_store_life \
	tests/integration/test_store_snapshots \
	tests/integration/test_store_attachments \
	tests/integration/test_store_moved \
	tests/integration/test_store_garbage \
	tests/integration/test_store_compute \
	tests/integration/test_store_swap \
	tests/integration/test_store_doctor \
	tests/integration/test_store_pace \
	tests/integration/test_store_peer \
	tests/integration/test_store_retype \
	tests/integration/test_store_pools \
	tests/integration/test_store_refusals

tests_integration_test_store_check_SOURCES = \
	tests/integration/test_store_check.c $(store_fixture)
tests_integration_test_store_check_LDADD = $(UNIT_LIBS)
tests_integration_test_store_swap_SOURCES = \
	tests/integration/test_store_swap.c $(store_fixture)
tests_integration_test_store_swap_LDADD = $(UNIT_LIBS)
tests_integration_test_store_pace_SOURCES = \
	tests/integration/test_store_pace.c $(store_fixture)
tests_integration_test_store_pace_LDADD = $(UNIT_LIBS)
tests_integration_test_store_migrations_SOURCES = \
	tests/integration/test_store_migrations.c $(store_fixture)
tests_integration_test_store_migrations_LDADD = $(UNIT_LIBS) -lpthread
tests_integration_test_store_work_SOURCES = \
	tests/integration/test_store_work.c $(store_fixture)
tests_integration_test_store_work_LDADD = $(UNIT_LIBS)
tests_integration_test_store_switch_SOURCES = \
	tests/integration/test_store_switch.c $(store_fixture)
tests_integration_test_store_switch_LDADD = $(UNIT_LIBS)
tests_integration_test_store_orphans_SOURCES = \
	tests/integration/test_store_orphans.c $(store_fixture)
tests_integration_test_store_orphans_LDADD = $(UNIT_LIBS)
tests_integration_test_store_back_SOURCES = \
	tests/integration/test_store_back.c $(store_fixture)
tests_integration_test_store_back_LDADD = $(UNIT_LIBS)
tests_integration_test_store_volumes_SOURCES = \
	tests/integration/test_store_volumes.c $(store_fixture)
tests_integration_test_store_volumes_LDADD = $(UNIT_LIBS)
tests_integration_test_store_services_SOURCES = \
	tests/integration/test_store_services.c $(store_fixture)
tests_integration_test_store_services_LDADD = $(UNIT_LIBS)
tests_integration_test_store_operations_SOURCES = \
	tests/integration/test_store_operations.c $(store_fixture)
tests_integration_test_store_operations_LDADD = $(UNIT_LIBS)
tests_integration_test_store_delete_SOURCES = \
	tests/integration/test_store_delete.c $(store_fixture)
tests_integration_test_store_delete_LDADD = $(UNIT_LIBS)
tests_integration_test_store_exports_SOURCES = \
	tests/integration/test_store_exports.c $(store_fixture)
tests_integration_test_store_exports_LDADD = $(UNIT_LIBS)
tests_integration_test_store_life_SOURCES = \
	tests/integration/test_store_life.c $(store_fixture)
tests_integration_test_store_life_LDADD = $(UNIT_LIBS)
tests_integration_test_store_snapshots_SOURCES = \
	tests/integration/test_store_snapshots.c $(store_fixture)
tests_integration_test_store_snapshots_LDADD = $(UNIT_LIBS)
tests_integration_test_store_attachments_SOURCES = \
	tests/integration/test_store_attachments.c $(store_fixture)
tests_integration_test_store_attachments_LDADD = $(UNIT_LIBS)
tests_integration_test_store_moved_SOURCES = \
	tests/integration/test_store_moved.c $(store_fixture)
tests_integration_test_store_moved_LDADD = $(UNIT_LIBS)
tests_integration_test_store_garbage_SOURCES = \
	tests/integration/test_store_garbage.c $(store_fixture)
tests_integration_test_store_garbage_LDADD = $(UNIT_LIBS)
tests_integration_test_store_pools_SOURCES = \
	tests/integration/test_store_pools.c $(store_fixture)
tests_integration_test_store_pools_LDADD = $(UNIT_LIBS) -lpthread
tests_integration_test_store_compute_SOURCES = \
	tests/integration/test_store_compute.c $(store_fixture)
tests_integration_test_store_compute_LDADD = $(UNIT_LIBS)
tests_integration_test_store_doctor_SOURCES = \
	tests/integration/test_store_doctor.c $(store_fixture)
tests_integration_test_store_doctor_LDADD = $(UNIT_LIBS)
tests_integration_test_store_retype_SOURCES = \
	tests/integration/test_store_retype.c $(store_fixture)
tests_integration_test_store_retype_LDADD = $(UNIT_LIBS)
tests_integration_test_store_peer_SOURCES = \
	tests/integration/test_store_peer.c $(store_fixture)
tests_integration_test_store_peer_LDADD = $(UNIT_LIBS)
tests_integration_test_store_refusals_SOURCES = \
	tests/integration/test_store_refusals.c $(store_fixture)
tests_integration_test_store_refusals_LDADD = $(UNIT_LIBS)
