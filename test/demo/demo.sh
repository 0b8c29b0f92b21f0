#!/usr/bin/env bash
# `npm run demo`: the project's main job, shown step by step.
#
#   npm run demo             in a VM with soft-RoCE: iSER, /dev/nbd0, ext4, Unix socket
#   npm run demo -- --tcp    the Unix-socket half over TCP, on this machine, in seconds
#   npm run demo -- --host   the whole of it on this machine (needs root, an RDMA device, the nbd module)
set -euo pipefail
cd "$(dirname "$0")/../.."

mode=vm
case ${1:-} in
  '') ;;
  --tcp) mode=tcp ;;
  --host) mode=host ;;
  *)
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

bash test/setup.sh demo
started=$(date +%s)
case $mode in
  vm)
    echo "booting Debian's stock kernel in QEMU (emulated: everything in it is slow)"
    test/vm/run.sh -m 3072 -t 600 bash test/demo/main-job.sh
    ;;
  tcp) bash test/demo/socket-job.sh ;;
  host) bash test/demo/main-job.sh ;;
esac
echo "demo finished in $(($(date +%s) - started)) s"
