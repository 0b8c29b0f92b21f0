#!/usr/bin/env bash
# Runs a command in the guest (or, as root, on a machine with an RDMA device) after making what every VM test needs: the verbs
# device and the kernel's NBD client.
set -euo pipefail
. "$(dirname "$0")/targets.sh"
rdma_up
modprobe nbd
exec "$@"
