# Sourced on any machine: what faults.ts needs of targets.sh, with a tgt of its own over TCP on the loopback device.
# shellcheck shell=bash disable=SC2034 # the variables are for whoever sources this

initiator_name=iqn.2026-11.iserd.test:init
tgt_directory=$(mktemp -d /tmp/iserd-faults-tgt-XXXXXX)
tgt_file=$tgt_directory/disk
# A port that is free now; tgt cannot choose one itself.
tgt_port=$(node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
tgt_tcp_url=iscsi://127.0.0.1:$tgt_port/iqn.2026-11.test:tcp/1
tgt_pid=''

export TGT_IPC_SOCKET=$tgt_directory/ipc
tgtadm() { command tgtadm -C 0 "$@"; }

tgt_up() {
  [ -e "$tgt_file" ] || truncate -s "${1:-64M}" "$tgt_file"
  tgtd -f -C 0 --iscsi "portal=127.0.0.1:$tgt_port" >>"$tgt_directory/log" 2>&1 &
  tgt_pid=$!
  local deadline=$((SECONDS + 20))
  until tgtadm --lld iscsi --op show --mode sys >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] && kill -0 "$tgt_pid" 2>/dev/null || return 1
    sleep 0.1
  done
  tgtadm --lld iscsi --op new --mode target --tid 2 -T iqn.2026-11.test:tcp &&
    tgtadm --lld iscsi --op new --mode logicalunit --tid 2 --lun 1 -b "$tgt_file" &&
    tgtadm --lld iscsi --op bind --mode target --tid 2 -I ALL
}

tgt_kill() {
  [ -n "$tgt_pid" ] || return 0
  kill -KILL "$tgt_pid" 2>/dev/null
  wait "$tgt_pid" 2>/dev/null
  tgt_pid=''
}

tgt_down() {
  tgt_kill
  rm -rf "$tgt_directory"
}
