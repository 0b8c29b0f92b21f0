#!/usr/bin/env bash
# The Unix-socket half over TCP: tgt, iserd, nbdcopy and qemu-img on this machine, loopback only.
# shellcheck source=test/demo/steps.sh
. "$(dirname "$0")/steps.sh"

start_target() {
  mkfifo "$work/url"
  node --import tsx test/demo/host-tgt.ts "$work/url" &
  children+=($!)
  read -r url <"$work/url"
}
step 'tgt exports a LUN over TCP' start_target
attached=$(now_ms)
step 'iserd logs in and listens on a Unix socket' start_iserd "$url" --socket "$work/nbd.sock"
step 'nbdinfo' nbdinfo "$uri"
head -c 64M /dev/urandom >"$work/there"
step 'nbdcopy 64 MiB of random data to the LUN' nbdcopy "$work/there" "$uri"
step 'nbdcopy the LUN back' nbdcopy "$uri" "$work/back"
same_bytes() { cmp -n 67108864 "$work/there" "$work/back"; }
step 'the bytes are equal' same_bytes
step 'qemu-img compare' qemu-img compare -f raw -F raw "$work/back" "$uri"
print_counters $(($(now_ms) - attached))
step 'iserd drains and logs out' stop_iserd
