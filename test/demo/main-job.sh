#!/usr/bin/env bash
# The main job, where there is an RDMA device and /dev/nbd: a LUN over iSER as a kernel device with ext4, then the same LUN
# through the Unix socket.
# shellcheck source=test/demo/steps.sh
. "$(dirname "$0")/steps.sh"
# shellcheck source=test/vm/guest/targets.sh
. test/vm/guest/targets.sh

if [ "${ISERD_VM:-}" = 1 ]; then step 'soft-RoCE device on a veth pair' rdma_up; fi
step 'tgt exports a LUN over iSER' start_target 96M
url=$tgt_iser_url
step "iserctl discover: the portal's targets" iserctl discover "${url%/iqn*}" --initiator-name "$initiator_name"
modprobe nbd 2>/dev/null || true

attached=$(now_ms)
step 'iserd logs in and attaches the kernel device' start_iserd "$url" --device auto --initiator-name "$initiator_name"
echo "    $device: $(blockdev --getsize64 "$device") bytes"
mkdir "$work/mount"
step "mkfs.ext4 $device" mkfs.ext4 -q -F "$device"
step 'mount' mount "$device" "$work/mount"
write_files() {
  local i
  for i in 1 2 3 4 5 6 7 8; do head -c $((i * 1000003)) /dev/urandom >"$work/mount/file$i"; done
  cp -r src "$work/mount/src"
  (cd "$work/mount" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$work/before"
  sync -f "$work/mount"
}
step 'write files (36 MB of random data and our sources)' write_files
step 'unmount' umount "$work/mount"
step 'e2fsck -f -n: clean' e2fsck -f -n "$device"
print_counters $(($(now_ms) - attached))
step 'iserd detaches, drains, logs out' stop_iserd

attached=$(now_ms)
step 'iserd logs in anew' start_iserd "$url" --device "$device" --socket "$work/nbd.sock" --initiator-name "$initiator_name"
step 'mount again' mount -o ro "$device" "$work/mount"
same_checksums() {
  (cd "$work/mount" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$work/after"
  diff "$work/before" "$work/after"
}
step "checksums of $(wc -l <"$work/before") files are equal" same_checksums
step 'unmount' umount "$work/mount"
step 'qemu-img reads the LUN through the Unix socket' qemu-img convert -f raw -O raw "$uri" "$work/copy"
step 'and it is what the kernel device shows' cmp "$work/copy" "$device"
print_counters $(($(now_ms) - attached))
step 'iserd detaches, drains, logs out' stop_iserd
