# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += volume-manager/libbackend.a
volume_manager_libbackend_a_SOURCES = \
	volume-manager/backend.c volume-manager/backend.h \
	volume-manager/object_id.c \
	volume-manager/drivers/drivers.c \
	volume-manager/drivers/file.c volume-manager/drivers/file.h \
	volume-manager/drivers/marker.c volume-manager/drivers/marker.h \
	volume-manager/drivers/mount.c volume-manager/drivers/mount.h \
	volume-manager/drivers/mountinfo.c volume-manager/drivers/mountinfo.h \
	volume-manager/drivers/nfs.c volume-manager/drivers/nfs.h \
	volume-manager/drivers/nfs_share.c volume-manager/drivers/nfs_share.h \
	volume-manager/drivers/nfs_space.c \
	volume-manager/drivers/rename.h
