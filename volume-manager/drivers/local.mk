# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += volume-manager/libbackend.a
volume_manager_libbackend_a_SOURCES = \
	volume-manager/backend.c volume-manager/backend.h \
	volume-manager/drivers/drivers.c \
	volume-manager/drivers/file.c \
	volume-manager/drivers/marker.c volume-manager/drivers/marker.h \
	volume-manager/drivers/rename.h
