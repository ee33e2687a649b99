# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/integration/rpc_peer
EXTRA_DIST += tests/integration/rpc_peers.py

tests_integration_rpc_peer_SOURCES = tests/integration/rpc_peer.c
tests_integration_rpc_peer_LDADD = $(COMMON_LIBS)
