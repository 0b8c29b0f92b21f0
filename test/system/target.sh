#!/usr/bin/env bash
# The storage of the system tests: tgt with iSER on soft-RoCE and, unlike the other tests' one, disks that survive a reboot.
set -euo pipefail
. "$(dirname "$0")/../vm/guest/targets.sh"
directory=/var/lib/iserd-test
mkdir -p "$directory"
tgt_file=$directory/disk
tgt_log=$directory/tgtd.log
rdma_up
tgt_up 256M
# More logical units, of other sizes, behind the target without passwords.
for lun in 2 3; do
  truncate -s "$((lun * 32))M" "$directory/disk$lun"
  _tgtadm iser --op new --mode logicalunit --tid 1 --lun "$lun" -b "$directory/disk$lun"
done
