#!/usr/bin/env bash
# Makes the disk of a small guest: an MBR with GRUB, and a partition with an ext4 root file system that holds Debian's stock kernel, an
# initrd that mounts it, and busybox. Needs no root, no loop device and no mount.
#
#   test/vm/vm-guests/make-disk.sh DISK [MIB]     default 96 MiB
#
# Beside DISK come DISK.kernel and DISK.initrd, for those who boot without the boot loader. The guest says "guest ready" on its first
# serial port and takes shell commands there.
set -euo pipefail

fail() {
  echo "${0##*/}: $*" >&2
  exit 2
}

[ $# -ge 1 ] || fail "no disk (see the head of this file)"
disk=$1 mebibytes=${2:-96}
for tool in busybox cpio modprobe mke2fs grub-mkimage; do
  command -v "$tool" >/dev/null || fail "$tool is missing: run test/setup.sh test"
done
here=$(dirname "$(realpath "$0")")
# shellcheck source=test/vm/kernel.sh
. "$here/../kernel.sh"
find_kernel

work=$(mktemp -d "${TMPDIR:-/tmp}/iserd-guest-XXXXXX")
trap 'rm -rf "$work"' EXIT

# Modules that the guest needs for its root, in load order; prints nothing for what is built in.
module_files() {
  local module
  for module in virtio_pci virtio_blk crc32c_generic ext4; do
    modprobe -d "$root" -S "$version" --show-depends "$module" 2>/dev/null || true
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

make_initrd() {
  local tree=$work/initrd file number=100
  mkdir -p "$tree/modules"
  cp "$(command -v busybox)" "$tree/busybox"
  install "$here/initrd-init" "$tree/init"
  while read -r file; do
    number=$((number + 1))
    case $file in
      *.xz) xz -dc "$file" >"$tree/modules/$number.ko" ;;
      *) cp "$file" "$tree/modules/$number.ko" ;;
    esac
  done < <(module_files)
  (cd "$tree" && find . -print0 | cpio -0 -o -H newc --quiet | gzip -1) >"$disk.initrd"
}

make_root() {
  local tree=$work/root name
  mkdir -p "$tree"/{bin,boot,dev,proc,sbin,sys,var}
  cp "$(command -v busybox)" "$tree/bin/busybox"
  for name in $(busybox --list); do ln -s busybox "$tree/bin/$name" 2>/dev/null || true; done
  install "$here/guest-init" "$tree/sbin/init"
  cp "$kernel" "$tree/boot/vmlinuz"
  cp "$disk.initrd" "$tree/boot/initrd"
}

first_sector=2048
sector_bytes=512
# What GRUB of Debian 12 reads.
features='^metadata_csum_seed,^orphan_file'

# The partition table's one entry: bootable, type 83, no CHS.
partition_entry() {
  local count=$((mebibytes * 2048 - first_sector)) number
  printf '\x80\xfe\xff\xff\x83\xfe\xff\xff'
  for number in "$first_sector" "$count"; do
    # shellcheck disable=SC2059 # the format is what is built here
    printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((number & 255)) $((number >> 8 & 255)) $((number >> 16 & 255)) $((number >> 24 & 255)))"
  done
}

# patch OFFSET: standard input into the disk.
patch() { dd of="$disk" bs=1 seek="$1" conv=notrunc status=none; }

make_boot_loader() {
  local grub=/usr/lib/grub/i386-pc
  cat >"$work/grub.cfg" <<'CONFIG'
set root=(hd0,msdos1)
linux /boot/vmlinuz root=/dev/vda1 console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on
initrd /boot/initrd
boot
CONFIG
  grub-mkimage -O i386-pc -d "$grub" -p /boot/grub -c "$work/grub.cfg" -o "$work/core.img" \
    biosdisk part_msdos ext2 linux boot
  # The first 440 bytes of the boot sector are code; the core lies between it and the partition, where boot.img looks for it.
  head -c 440 "$grub/boot.img" | patch 0
  partition_entry | patch 446
  printf '\x55\xaa' | patch 510
  dd if="$work/core.img" of="$disk" bs="$sector_bytes" seek=1 conv=notrunc status=none
}

make_initrd
cp "$kernel" "$disk.kernel"
make_root
rm -f "$disk"
truncate -s "${mebibytes}M" "$disk"
mke2fs -q -t ext4 -O "$features" -d "$work/root" -E "offset=$((first_sector * sector_bytes)),root_owner=0:0" \
  "$disk" "$(((mebibytes * 2048 - first_sector) / 2))k"
make_boot_loader
