# Sourced in the VM (or, as root, on a machine with an RDMA device): a verbs device, tgt and LIO.
# shellcheck shell=bash disable=SC2034 # the variables are for whoever sources this
#
#   rdma_up                      soft-RoCE on a veth pair, address $portal_address
#   tgt_up [SIZE]                tgt with one file of SIZE (default 256M) as LUN 1 of every target:
#                                $tgt_iser_url      $tgt_tcp_url         no authentication
#                                $tgt_iser_chap_url $tgt_tcp_chap_url    $chap_user
#                                $tgt_iser_mutual_url $tgt_tcp_mutual_url  $chap_user and $mutual_user
#   tgt_kill / tgt_down          ends tgtd at once (tgt_up continues with the same file) / and removes the file
#   lio_up [MIB]                 LIO with a RAM disk of MIB (default 256) as LUN 0, one with 4096-byte blocks as LUN 1, and as
#                                LUN 2 a sparse file with a write cache that is unmapped and zeroed on demand:
#                                $lio_tcp_url $lio_iser_url, $lio_tcp_4k_url $lio_iser_4k_url, $lio_tcp_thin_url $lio_iser_thin_url
#                                $lio_tcp_chap_url $lio_iser_chap_url $lio_tcp_mutual_url $lio_iser_mutual_url
#   lio_target NAME AUTH         one more LIO target over the same disks; AUTH is none, chap or mutual; lio_target_down NAME
#   lio_down                     hangs in the kernel after a login over iSER that was cut short: then end the VM instead

initiator_name=${initiator_name:-iqn.2026-11.iserd.test:init}
chap_user=iserd chap_secret=iserd-secret-1
mutual_user=target mutual_secret=target-secret-2

portal_address=${portal_address:-10.9.9.1}
tgt_port=3260 lio_tcp_port=3261 lio_iser_port=3262
iqn_prefix=iqn.2026-11.test

_tgt=$portal_address:$tgt_port/$iqn_prefix
tgt_iser_url=iser://$_tgt:iser/1
tgt_tcp_url=iscsi://$_tgt:tcp/1
tgt_iser_chap_url=iser://$_tgt:iser-chap/1
tgt_tcp_chap_url=iscsi://$_tgt:tcp-chap/1
tgt_iser_mutual_url=iser://$_tgt:iser-mutual/1
tgt_tcp_mutual_url=iscsi://$_tgt:tcp-mutual/1
_tcp=iscsi://$portal_address:$lio_tcp_port/$iqn_prefix
_iser=iser://$portal_address:$lio_iser_port/$iqn_prefix
lio_tcp_url=$_tcp:lio/0
lio_iser_url=$_iser:lio/0
lio_tcp_4k_url=$_tcp:lio/1
lio_iser_4k_url=$_iser:lio/1
lio_tcp_thin_url=$_tcp:lio/2
lio_iser_thin_url=$_iser:lio/2
lio_tcp_chap_url=$_tcp:lio-chap/0
lio_iser_chap_url=$_iser:lio-chap/0
lio_tcp_mutual_url=$_tcp:lio-mutual/0
lio_iser_mutual_url=$_iser:lio-mutual/0

tgt_file=/dev/shm/iserd-tgt-disk
tgt_log=/tmp/iserd-tgtd.log
# More of tgtd's command line.
tgt_arguments=()
tgt_pid=''

# Waits until tgtd answers; fails after 20 s, or at once when it has ended.
_tgt_ready() {
  local deadline=$((SECONDS + 20))
  until tgtadm --lld iser --op show --mode sys >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ] || ! kill -0 "$tgt_pid" 2>/dev/null; then
      echo "tgtd does not answer:" >&2
      cat "$tgt_log" >&2
      return 1
    fi
    sleep 0.2
  done
}

rdma_up() {
  local module
  for module in rdma_rxe rdma_ucm ib_uverbs; do modprobe "$module" || return; done
  ip link add rdma0 type veth peer name rdma1
  ip address add "$portal_address/24" dev rdma0
  ip link set rdma0 up
  ip link set rdma1 up
  rdma link add rxe0 type rxe netdev rdma0
}

_tgtadm() {
  local lld=$1
  shift
  tgtadm --lld "$lld" "$@"
}

# _tgt_target TID LLD NAME ACCOUNT...: a target with the file as LUN 1. "out:NAME" is an account that the target proves.
_tgt_target() {
  local tid=$1 lld=$2 name=$3 account
  shift 3
  _tgtadm "$lld" --op new --mode target --tid "$tid" -T "$iqn_prefix:$name" || return
  _tgtadm "$lld" --op new --mode logicalunit --tid "$tid" --lun 1 -b "$tgt_file" || return
  for account in "$@"; do
    case $account in
      out:*) _tgtadm "$lld" --op bind --mode account --tid "$tid" --user "${account#out:}" --outgoing ;;
      *) _tgtadm "$lld" --op bind --mode account --tid "$tid" --user "$account" ;;
    esac || return
  done
  _tgtadm "$lld" --op bind --mode target --tid "$tid" -I ALL || return
  # For iSER tgt 1.0.85 wants the initiator's name on its list too, even if every address is.
  if [ "$lld" = iser ]; then _tgtadm iser --op bind --mode target --tid "$tid" -Q "$initiator_name"; fi
}

tgt_up() {
  [ -e "$tgt_file" ] || truncate -s "${1:-256M}" "$tgt_file"
  mkdir -p /run/tgtd
  # Over iSER tgtd listens on every address, port 3260. Naming the port here makes 1.0.85 refuse the next option.
  tgtd -f --iscsi "portal=$portal_address:$tgt_port" --iser pool_sz_mb=256 "${tgt_arguments[@]}" >>"$tgt_log" 2>&1 &
  tgt_pid=$!
  _tgt_ready || return
  # Accounts belong to the whole daemon, whatever driver creates them.
  _tgtadm iscsi --op new --mode account --user "$chap_user" --password "$chap_secret" || return
  _tgtadm iscsi --op new --mode account --user "$mutual_user" --password "$mutual_secret" || return
  _tgt_target 1 iser iser &&
    _tgt_target 2 iscsi tcp &&
    _tgt_target 3 iser iser-chap "$chap_user" &&
    _tgt_target 4 iscsi tcp-chap "$chap_user" &&
    _tgt_target 5 iser iser-mutual "$chap_user" "out:$mutual_user" &&
    _tgt_target 6 iscsi tcp-mutual "$chap_user" "out:$mutual_user"
}

tgt_kill() {
  [ -n "$tgt_pid" ] || return 0
  kill -KILL "$tgt_pid" 2>/dev/null
  wait "$tgt_pid" 2>/dev/null
  tgt_pid=''
}

tgt_down() {
  tgt_kill
  rm -f "$tgt_file" "$tgt_log"
}

start_target() { tgt_up "$@"; }

_core=/sys/kernel/config/target/core/rd_mcp_0
_file_core=/sys/kernel/config/target/core/fileio_0
lio_file=/dev/shm/iserd-lio-disk
_fabric=/sys/kernel/config/target/iscsi

# _lio_disk NAME MIB BLOCK-LENGTH
_lio_disk() {
  mkdir -p "$_core/$1" || return
  # Pages of 4096 bytes.
  echo "rd_pages=$(($2 * 256))" >"$_core/$1/control"
  echo 1 >"$_core/$1/enable"
  # LIO gives a RAM disk no serial number of its own accord; VPD page 83h is made from it.
  echo "iserd-test-$1" >"$_core/$1/wwn/vpd_unit_serial"
  if [ "$3" != 512 ]; then echo "$3" >"$_core/$1/attrib/block_size"; fi
}

# _lio_file_disk MIB: buffered, so that a cache needs flushing and FUA means something.
_lio_file_disk() {
  local disk=$_file_core/file2
  truncate -s "$1M" "$lio_file" && mkdir -p "$disk" || return
  echo "fd_dev_name=$lio_file,fd_dev_size=$(($1 << 20)),fd_buffered_io=1" >"$disk/control"
  echo 1 >"$disk/enable" || return
  echo iserd-test-file2 >"$disk/wwn/vpd_unit_serial"
  echo 1 >"$disk/attrib/emulate_tpu"
  echo 1 >"$disk/attrib/emulate_tpws"
  # A hole in a file does read as zeroes, and this lets WRITE SAME with the UNMAP bit make one.
  echo 1 >"$disk/attrib/unmap_zeroes_data"
}

lio_target() {
  local name=$1 auth=$2 tpg lun
  tpg=$_fabric/$iqn_prefix:$name/tpgt_1
  mkdir -p "$tpg" || return
  for lun in 0 1 2; do mkdir -p "$tpg/lun/lun_$lun"; done
  ln -s "$_core/ram0" "$tpg/lun/lun_0/disk" &&
    ln -s "$_core/ram1" "$tpg/lun/lun_1/disk" &&
    ln -s "$_file_core/file2" "$tpg/lun/lun_2/disk" || return
  if [ "$auth" = none ]; then
    echo 0 >"$tpg/attrib/authentication"
    echo 1 >"$tpg/attrib/generate_node_acls"
    echo 1 >"$tpg/attrib/cache_dynamic_acls"
    echo 0 >"$tpg/attrib/demo_mode_write_protect"
  else
    _lio_acl "$tpg" "$auth" || return
  fi
  mkdir -p "$tpg/np/$portal_address:$lio_tcp_port" || return
  # The iSER portal needs an RDMA device with that address.
  if [ -d /sys/class/infiniband ] && [ -n "$(ls /sys/class/infiniband)" ]; then
    mkdir -p "$tpg/np/$portal_address:$lio_iser_port" || return
    echo 1 >"$tpg/np/$portal_address:$lio_iser_port/iser" || return
  fi
  echo 1 >"$tpg/enable"
}

# Lets the tests' initiator in with CHAP, one way or both.
_lio_acl() {
  local tpg=$1 auth=$2 lun acl
  acl=$tpg/acls/$initiator_name
  echo 1 >"$tpg/attrib/authentication"
  mkdir -p "$acl" || return
  for lun in 0 1 2; do
    mkdir -p "$acl/lun_$lun" && ln -s "$tpg/lun/lun_$lun" "$acl/lun_$lun/disk" || return
  done
  echo -n "$chap_user" >"$acl/auth/userid"
  echo -n "$chap_secret" >"$acl/auth/password"
  if [ "$auth" = mutual ]; then
    echo -n "$mutual_user" >"$acl/auth/userid_mutual"
    echo -n "$mutual_secret" >"$acl/auth/password_mutual"
  fi
}

lio_target_down() {
  local target=$_fabric/$iqn_prefix:$1 tpg
  tpg=$target/tpgt_1
  [ -d "$tpg" ] || return 0
  echo 0 >"$tpg/enable"
  rm -f "$tpg"/acls/*/lun_*/disk
  find "$tpg/acls" -mindepth 2 -maxdepth 2 -name 'lun_*' -exec rmdir {} + 2>/dev/null
  find "$tpg/acls" -mindepth 1 -maxdepth 1 -exec rmdir {} + 2>/dev/null
  find "$tpg/np" -mindepth 1 -maxdepth 1 -exec rmdir {} +
  rm -f "$tpg"/lun/lun_*/disk
  rmdir "$tpg"/lun/lun_* "$tpg" "$target"
}

lio_up() {
  local module
  for module in configfs target_core_mod iscsi_target_mod ib_isert; do modprobe "$module" || return; done
  mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config || return
  # LIO keeps its state files here and logs an error for each when it cannot.
  mkdir -p /etc/target /var/target/pr /var/target/alua
  mkdir -p "$_fabric" || return
  _lio_disk ram0 "${1:-256}" 512 && _lio_disk ram1 "${1:-256}" 4096 && _lio_file_disk "${1:-256}" || return
  lio_target lio none && lio_target lio-chap chap && lio_target lio-mutual mutual
}

lio_down() {
  local target
  for target in "$_fabric/$iqn_prefix":*; do
    if [ -d "$target" ]; then lio_target_down "${target#"$_fabric/$iqn_prefix:"}"; fi
  done
  rmdir "$_core/ram0" "$_core/ram1" "$_file_core/file2" 2>/dev/null
  rm -f "$lio_file"
  return 0
}
