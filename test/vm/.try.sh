. test/vm/guest/targets.sh
t() { echo "$(cut -d' ' -f1 /proc/uptime) $*"; }
rdma_up || exit; t rdma; tgt_up || exit 1; t tgt
lio_up 64 || exit
t lio
rc() { iscsi-readcapacity16 -i $initiator_name $1 2>&1 | grep -E 'LENGTH|Total|fail|rror' ; t; }
rc $tgt_iser_url;  rc $lio_iser_url;  rc $lio_tcp_4k_url
lio_down; t lio_down
tgt_down; t tgt_down
modprobe nbd; t nbd
node --version; t
cat > /run/k.test.ts <<'X'
X
sleep 1000 &
exit 5
