# Sourced in the VM: tgt and LIO with as many volumes of the same size as a benchmark needs.
# shellcheck shell=bash
#
#   bench_tgt_up COUNT MIB   tgt: LUN 1 to COUNT of the targets without authentication
#   bench_lio_up COUNT MIB   LIO: LUN 0, then 3 and up (1 and 2 are other kinds of disk), with a target for each transport as tgt
#                            has them: to iserd the same unit of the same target is the same volume, whatever the way to it
#   bench_urls tgt|lio iser|tcp COUNT   their URLs, one a line

. "$(dirname "${BASH_SOURCE[0]}")/../vm/guest/targets.sh"

bench_tgt_up() {
  local count=$1 mebibytes=$2 lun file
  # What `swift` means in test/helpers/tgt.ts, and why.
  local tgt_arguments=(--nr_iothreads 1)
  local -x MALLOC_MMAP_THRESHOLD_=$((32 << 20)) MALLOC_TRIM_THRESHOLD_=$((1 << 30))
  tgt_up "${mebibytes}M" || return
  for ((lun = 1; lun <= count; lun++)); do
    file=$tgt_file
    if [ "$lun" != 1 ]; then file=$tgt_file-$lun; fi
    # Written before it is used, so that nobody reads holes.
    dd if=/dev/zero of="$file" bs=1M count="$mebibytes" conv=notrunc status=none || return
    if [ "$lun" = 1 ]; then continue; fi
    _tgtadm iser --op new --mode logicalunit --tid 1 --lun "$lun" -b "$file" || return
    _tgtadm iscsi --op new --mode logicalunit --tid 2 --lun "$lun" -b "$file" || return
  done
}

_bench_lio_tcp=lio-tcp

bench_lio_up() {
  local count=$1 mebibytes=$2 lun name directory
  lio_up "$mebibytes" && lio_target "$_bench_lio_tcp" none || return
  for ((lun = 3; lun < count + 2; lun++)); do
    _lio_disk "ram$lun" "$mebibytes" 512 || return
    for name in lio "$_bench_lio_tcp"; do
      directory=$_fabric/$iqn_prefix:$name/tpgt_1/lun/lun_$lun
      mkdir -p "$directory" && ln -s "$_core/ram$lun" "$directory/disk" || return
    done
  done
}

bench_urls() {
  local way=$1-$2 count=$3 index
  for ((index = 0; index < count; index++)); do
    case $way in
      tgt-iser) echo "${tgt_iser_url%/*}/$((index + 1))" ;;
      tgt-tcp) echo "${tgt_tcp_url%/*}/$((index + 1))" ;;
      lio-iser) echo "${lio_iser_url%/*}/$((index == 0 ? 0 : index + 2))" ;;
      lio-tcp) echo "$_tcp:$_bench_lio_tcp/$((index == 0 ? 0 : index + 2))" ;;
    esac
  done
}
