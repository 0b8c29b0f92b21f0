# Sourced after targets.sh or host-targets.sh.
# shellcheck shell=bash

# tgt_kick TID LLD: ends the sessions of one of tgt's targets.
tgt_kick() {
  local sid
  for sid in $(tgtadm --lld "$2" --op show --mode conn --tid "$1" | sed -n 's/^Session: *//p'); do
    tgtadm --lld "$2" --op delete --mode conn --tid "$1" --sid "$sid" --cid 0
  done
}
