# SPDX-License-Identifier: Apache-2.0
unit_tests_of_copy = \
	tests/unit/test_copy \
	tests/unit/test_copy_ways \
	tests/unit/test_checkpoint_file \
	tests/unit/test_backend \
	tests/unit/test_file_driver \
	tests/unit/test_nfs_driver \
	tests/unit/test_nfs_shares
check_PROGRAMS += $(unit_tests_of_copy)
TESTS += $(unit_tests_of_copy)

BACKEND_TEST_LIBS = volume-manager/libbackend.a $(COPY_LIBS) $(UNIT_LIBS)

integration_tests += tests/integration/test_copy_nbd

tests_unit_test_copy_SOURCES = tests/unit/test_copy.c tests/unit/test_copy.h \
	tests/unit/scratch.h
tests_unit_test_copy_LDADD = $(COPY_LIBS) $(UNIT_LIBS)
tests_unit_test_copy_ways_SOURCES = tests/unit/test_copy_ways.c tests/unit/test_copy.h \
	tests/unit/scratch.h
tests_unit_test_copy_ways_LDADD = $(COPY_LIBS) $(UNIT_LIBS)
tests_unit_test_checkpoint_file_SOURCES = tests/unit/test_checkpoint_file.c \
	tests/unit/scratch.h
tests_unit_test_checkpoint_file_LDADD = copy/libcommand.a $(COPY_LIBS) $(UNIT_LIBS)
tests_unit_test_backend_SOURCES = tests/unit/test_backend.c tests/unit/scratch.h
tests_unit_test_backend_LDADD = $(BACKEND_TEST_LIBS)
tests_unit_test_file_driver_SOURCES = tests/unit/test_file_driver.c tests/unit/scratch.h
tests_unit_test_file_driver_LDADD = $(BACKEND_TEST_LIBS)
tests_unit_test_nfs_driver_SOURCES = tests/unit/test_nfs_driver.c tests/unit/scratch.h
tests_unit_test_nfs_driver_LDADD = $(BACKEND_TEST_LIBS)
tests_unit_test_nfs_shares_SOURCES = tests/unit/test_nfs_shares.c tests/unit/scratch.h
tests_unit_test_nfs_shares_LDADD = $(BACKEND_TEST_LIBS)
tests_integration_test_copy_nbd_SOURCES = tests/integration/test_copy_nbd.c \
	tests/unit/test_copy.h tests/unit/scratch.h
tests_integration_test_copy_nbd_LDADD = $(COPY_LIBS) $(UNIT_LIBS)

# The command.
EXTRA_DIST += \
	tests/copy/conftest.py \
	tests/copy/endpoints.py \
	tests/copy/fixtures.py \
	tests/copy/shapes.py \
	tests/copy/test_command.py \
	tests/copy/test_devices.py \
	tests/copy/test_faults.py \
	tests/copy/test_matrix.py \
	tests/copy/test_resume.py \
	tests/copy/test_running.py \
	tests/copy/test_servers.py \
	tests/fuzz/fuzz_checkpoint.c
