# SPDX-License-Identifier: Apache-2.0
include volume-manager/drivers/local.mk
