# Sourced after targets.sh with portal_address=10.9.8.2: a wire between initiator and target that can be cut and spoilt.
# shellcheck shell=bash disable=SC2034 # the variables are for whoever sources this
#
#   fab0 10.9.8.1 rxe8 (initiator) <-> wire0 = bridge = wire1 <-> fab1 10.9.8.2 rxe9 (target)
#
#   fabric_up                   makes all that. Both ends are in one network namespace, for soft-RoCE and LIO know no other: rules
#                               keep what goes from one end to the other off the loopback device
#   wire_cut / wire_mend        the link goes down at both ends, as when a switch port dies (no end is down administratively)
#   wire_spoil NETEM-ARGUMENT...  in both directions, see tc-netem(8); wire_clear
#   initiator_device_remove / initiator_device_add   the initiator's verbs device; removing waits until nobody uses it

fabric_up() {
  local end own other module
  for module in bridge sch_netem veth rdma_rxe; do modprobe "$module" || return; done
  ip link add fabric type bridge && ip link set fabric up || return
  ip rule add pref 30 lookup local && ip rule del pref 0 || return
  for end in 0 1; do
    own=10.9.8.$((end + 1)) other=10.9.8.$((2 - end))
    ip link add "fab$end" type veth peer name "wire$end" || return
    ip link set "wire$end" master fabric up
    ip address add "$own/32" dev "fab$end"
    echo 1 >"/proc/sys/net/ipv4/conf/fab$end/accept_local"
    echo 0 >"/proc/sys/net/ipv4/conf/fab$end/rp_filter"
    ip link set "fab$end" up
    # What comes in is local; what goes out leaves by the device whose peer has the address.
    ip rule add pref 10 iif "fab$end" lookup local
    ip rule add pref 20 to "$other" lookup "$((100 + end))"
    ip route add "$other" dev "fab$end" src "$own" table "$((100 + end))"
  done
  echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
  initiator_device_add && rdma link add rxe9 type rxe netdev fab1
}

wire_cut() { ip link set wire0 down && ip link set wire1 down; }
wire_mend() { ip link set wire0 up && ip link set wire1 up; }

wire_spoil() {
  tc qdisc replace dev wire0 root netem limit 20000 "$@" &&
    tc qdisc replace dev wire1 root netem limit 20000 "$@"
}

wire_clear() { tc qdisc del dev wire0 root && tc qdisc del dev wire1 root; }

initiator_device_remove() { timeout "${1:-30}" rdma link delete rxe8; }
initiator_device_add() { rdma link add rxe8 type rxe netdev fab0; }
