#!/usr/bin/env bash
# Boots Debian's stock kernel in QEMU over this machine's own root file system (shared read-only, writes go to a RAM
# overlay) and runs one command in it as root. The guest has what a build machine lacks: soft-RoCE, /dev/nbd, LIO, ib_iser.
#
#   test/vm/run.sh [-m MIB] [-c CPUS] [-t SECONDS] [-o DIRECTORY] [-i] [-s FILE] [-v] COMMAND [ARGUMENT...]
#
#   -m  guest memory, default 3072       -o  host directory that the guest sees, writable, as $ISERD_VM_OUT
#   -c  guest CPUs, default 2            -v  show the kernel's console too
#   -t  time limit, default 600 s        -i  the guest's clock counts instructions, a nanosecond each, of its one CPU
#   -s  boot systemd: the command is a service of its multi-user target, and the guest is shut down properly after it. Writes go
#       to this disk image, which is made if it does not exist, so that the next boot finds them.
#
# The exit status is the command's; 124 = time limit, 125 = the guest ended without reporting one. Standard output and
# standard error arrive together on standard output. The working directory is the same in the guest; of the
# host's other things under /tmp, /run and /dev nothing can be seen there.
#
# Environment: ISERD_VM_KERNEL  root of an unpacked kernel package to boot instead of Debian's current one
#              ISERD_VM_ACCEL   QEMU accelerator; default is emulation, `kvm` where that really works
#              ISERD_VM_APPEND  more kernel command line
#              ISERD_VM_ENV     names of environment variables to hand to the guest, separated by spaces
set -euo pipefail

fail() {
  echo "${0##*/}: $*" >&2
  exit 2
}

memory=3072 cpus=2 limit=600 out='' disk='' counting=no verbose=no
while getopts 'm:c:t:o:is:v' option; do
  case $option in
    m) memory=$OPTARG ;;
    c) cpus=$OPTARG ;;
    t) limit=$OPTARG ;;
    o) out=$OPTARG ;;
    i) counting=yes ;;
    s) disk=$OPTARG ;;
    v) verbose=yes ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || fail "no command (see the head of this file)"
for tool in qemu-system-x86_64 busybox cpio modprobe depmod; do
  command -v "$tool" >/dev/null || fail "$tool is missing: run test/setup.sh test"
done

# shellcheck source=test/vm/kernel.sh
. "$(dirname "$(realpath "$0")")/kernel.sh"
find_kernel

work=$(mktemp -d "${TMPDIR:-/tmp}/iserd-vm-XXXXXX")
qemu=''
# shellcheck disable=SC2317 # called by the trap
cleanup() {
  if [ -n "$qemu" ]; then kill "$qemu" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Modules needed before the root is mounted, in load order; prints nothing for what is built in.
early_modules() {
  local module
  for module in virtio_pci 9p 9pnet_virtio overlay virtio_console ${disk:+virtio_blk ext4}; do
    modprobe -d "$root" -S "$version" --show-depends "$module" 2>/dev/null || true
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

build_initrd() {
  local tree=$work/initrd.d file number=100
  mkdir -p "$tree/modules"
  cp "$(command -v busybox)" "$tree/busybox"
  cp "$(dirname "$(realpath "$0")")/guest/init" "$tree/init"
  chmod +x "$tree/init"
  cp "$(dirname "$(realpath "$0")")/guest/emulated-node.cjs" "$tree/"
  while read -r file; do
    number=$((number + 1))
    case $file in
      *.xz) xz -dc "$file" >"$tree/modules/$number.ko" ;;
      *) cp "$file" "$tree/modules/$number.ko" ;;
    esac
  done < <(early_modules)
  write_job "$@" >"$tree/job"
  (cd "$tree" && find . -print0 | cpio -0 -o -H newc --quiet) >"$work/initrd"
}

# The script that the guest runs after its root is in place; its second to fourth line are for guest/init.
write_job() {
  local name
  echo '#!/bin/bash'
  printf 'ISERD_VM_MODULES=%q\n' "$(realpath "$modules/$version")"
  printf 'ISERD_VM_DIRECTORY=%q\n' "$(pwd -P)"
  printf 'ISERD_VM_SYSTEMD=%s\n' "${disk:+yes}"
  for name in ${ISERD_VM_ENV:-}; do
    if [ -n "${!name+set}" ]; then printf 'export %s=%q\n' "$name" "${!name}"; fi
  done
  if [ -n "$out" ]; then
    echo 'export ISERD_VM_OUT=/run/iserd-vm/out'
    echo 'mkdir -p /run/iserd-vm/out'
    echo 'mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 out /run/iserd-vm/out'
  fi
  echo 'export NODE_OPTIONS=--require=/run/iserd-vm/emulated-node.cjs'
  printf 'cd %q || exit 126\n' "$(pwd -P)"
  printf '%q ' "$@"
  echo
}

build_initrd "$@"

accelerator=${ISERD_VM_ACCEL:-tcg,thread=multi,tb-size=512}
if [ "$counting" = yes ]; then
  # Several CPUs would share the clock: a thread's time would have the instructions of the others in it.
  accelerator=tcg,thread=single,tb-size=512 cpus=1
fi

# maxcpus=1: QEMU's emulation (7.2) has a race between a CPU that moves a PCI device in memory and another one that writes to
# its interrupt controller at that moment; QEMU then ends with a segmentation fault. One CPU scans PCI, init starts the others.
# shellcheck disable=SC2054 # the commas are QEMU's
arguments=(
  -accel "$accelerator" -cpu max -smp "$cpus" -m "$memory"
  -nodefaults -display none -no-reboot -nic none
  -kernel "$kernel" -initrd "$work/initrd"
  -append "console=ttyS0 panic=-1 maxcpus=1 mitigations=off random.trust_cpu=on${disk:+ systemd.condition_needs_update=no} ${ISERD_VM_APPEND:-}"
  -serial "file:$work/console"
  -fsdev "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"
  -device virtio-9p-pci,fsdev=host,mount_tag=host
  -device virtio-rng-pci -device virtio-serial-pci
  -chardev "file,id=status,path=$work/status" -device virtserialport,chardev=status,name=status
  -chardev "file,id=output,path=$work/output" -device virtserialport,chardev=output,name=output
)
if [ -n "$out" ]; then
  mkdir -p "$out"
  arguments+=(
    -fsdev "local,id=out,path=$(realpath "$out"),security_model=none"
    -device "virtio-9p-pci,fsdev=out,mount_tag=out"
  )
fi
if [ -n "$disk" ]; then
  if [ ! -e "$disk" ]; then
    truncate -s 8G "$disk"
    mkfs.ext4 -q "$disk"
  fi
  # What the host has not written when it goes down is of no interest to anybody.
  # shellcheck disable=SC2054 # the commas are QEMU's
  arguments+=(
    -drive "if=none,id=disk,format=raw,cache=unsafe,file=$(realpath "$disk")"
    -device virtio-blk-pci,drive=disk
  )
fi
if [ "$counting" = yes ]; then
  # An idle guest goes by the host's clock (sleep=on): its time limits would else pass while the host reads a file for it.
  # shellcheck disable=SC2054 # the comma is QEMU's
  arguments+=(-icount shift=0,sleep=on)
fi

touch "$work/console" "$work/status"
if [ "$verbose" = yes ]; then tail -f "$work/console" --pid=$$ >&2 & fi
# A stdio character device would count as closed as soon as standard input is at its end; a FIFO does not. Descriptor 9
# keeps it open until QEMU has ended, even if QEMU never gets as far as opening it.
mkfifo "$work/output"
exec 9<>"$work/output"
cat "$work/output" 9>&- &
reader=$!
timeout "$limit" qemu-system-x86_64 "${arguments[@]}" </dev/null >"$work/qemu.log" 2>&1 9>&- &
qemu=$!
ended=0
wait "$qemu" || ended=$?
qemu=''
exec 9>&-
wait "$reader"
status=$(tr -dc '0-9' <"$work/status")
# A guest whose shutdown hangs has failed, whatever its command has reported.
if [ -n "$status" ] && { [ -z "$disk" ] || [ "$ended" = 0 ]; }; then exit "$status"; fi
tail -n 40 "$work/console" "$work/qemu.log" >&2
if [ "$ended" = 124 ]; then
  echo "${0##*/}: the guest was stopped after $limit s" >&2
  exit 124
fi
echo "${0##*/}: the guest ended without an exit status (QEMU's was $ended)" >&2
exit 125
