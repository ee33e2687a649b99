# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/test_disk
TESTS += tests/unit/test_disk
tests_unit_test_disk_SOURCES = tests/unit/test_disk.c
tests_unit_test_disk_CPPFLAGS = $(AM_CPPFLAGS) $(XML_CFLAGS)
tests_unit_test_disk_LDADD = $(COMPUTE_LIBS) $(CMOCKA_LIBS)

# drover-compute, libvirt and a guest: run by pytest.
EXTRA_DIST += \
	tests/compute/conftest.py \
	tests/compute/test_faults.py \
	tests/compute/test_migrate.py \
	tests/compute/test_orders.py \
	tests/compute/test_targets.py \
	tests/guest/init.c \
	tests/guest/pattern.h \
	tests/guest/verify.c \
	tests/harness/attached_cloud.py \
	tests/harness/demo_attached.py \
	tests/harness/drover_compute.py \
	tests/harness/guest.py \
	tests/harness/reaper.py
