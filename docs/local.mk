# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += \
	docs/drover.1 \
	docs/drover-copy.1 \
	docs/drover.conf.5 \
	docs/drover-compute.8 \
	docs/drover-mount.8 \
	docs/drover-scheduler.8 \
	docs/drover-volume-manager.8
dist_doc_DATA = docs/architecture.md docs/drover.conf.sample
EXTRA_DIST += docs/compatibility.md docs/states.md docs/performance.md \
	docs/reliability.md docs/from-cinder.md
