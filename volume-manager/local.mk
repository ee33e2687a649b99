# SPDX-License-Identifier: Apache-2.0
include volume-manager/drivers/local.mk

sbin_PROGRAMS += volume-manager/drover-volume-manager
pkglibexec_PROGRAMS += volume-manager/drover-worker volume-manager/drover-mount
noinst_LIBRARIES += volume-manager/libmanager.a volume-manager/libwork.a

volume_manager_libmanager_a_SOURCES = \
	volume-manager/children.c \
	volume-manager/connection.c volume-manager/connection.h \
	volume-manager/forward.c \
	volume-manager/locks.c \
	volume-manager/manager.c volume-manager/manager.h \
	volume-manager/methods.c volume-manager/methods.h \
	volume-manager/methods_connect.c volume-manager/methods_connect.h \
	volume-manager/methods_disconnect.c \
	volume-manager/methods_peer.c volume-manager/methods_retype.c \
	volume-manager/methods_snapshot.c volume-manager/methods_volume.c \
	volume-manager/peers.c \
	volume-manager/methods_service.c \
	volume-manager/process.c volume-manager/process.h \
	volume-manager/report_nfs.c volume-manager/reports.c \
	volume-manager/slots.c volume-manager/slots.h \
	volume-manager/scan.c volume-manager/silence.c

volume_manager_libwork_a_SOURCES = \
	volume-manager/work.c volume-manager/work.h \
	volume-manager/work_export.c \
	volume-manager/work_extend.c \
	volume-manager/work_fence.c volume-manager/work_fence.h \
	volume-manager/work_fill.c \
	volume-manager/work_foreign.c \
	volume-manager/work_garbage.c \
	volume-manager/work_look.c \
	volume-manager/work_lock.c volume-manager/work_standby.c \
	volume-manager/work_job.h \
	volume-manager/work_migrate.c \
	volume-manager/work_peer.c \
	volume-manager/work_rate.c \
	volume-manager/work_readback.c \
	volume-manager/work_remote.c \
	volume-manager/work_snapshot.c

volume_manager_drover_volume_manager_SOURCES = volume-manager/main.c
volume_manager_drover_volume_manager_LDADD = volume-manager/libmanager.a \
	volume-manager/libbackend.a copy/libcopy.a $(COMMON_LIBS)

volume_manager_drover_worker_SOURCES = volume-manager/worker.c \
	volume-manager/process.c
volume_manager_drover_worker_LDADD = volume-manager/libwork.a \
	volume-manager/libbackend.a $(COPY_LIBS) $(COMMON_LIBS)

volume_manager_drover_mount_SOURCES = volume-manager/mount_main.c
volume_manager_drover_mount_LDADD = volume-manager/libbackend.a copy/libcopy.a \
	$(COMMON_LIBS)

# Compute
volume_manager_libmanager_a_SOURCES += volume-manager/methods_compute.c
volume_manager_libwork_a_SOURCES += \
	volume-manager/nova.c volume-manager/nova.h \
	volume-manager/nova_answers.c volume-manager/nova_answers.h \
	volume-manager/compute_api.h \
	volume-manager/work_compute.c volume-manager/work_hypervisor.c \
	volume-manager/work_nova.c
volume_manager_drover_worker_LDADD += $(CURL_LIBS)
