# A store that is damaged while its node is down is noticed at the start, set aside, and fetched anew from the others.
. "$ROOT/e2e/netns.sh"
trap net_finish EXIT
net_begin 3
for i in 1 2 3; do net_node_start "$i"; done
nk 1 create namespace heal >/dev/null
for n in 1 2 3; do nk "$n" -n heal create configmap "first-$n" >/dev/null; done
wait_for 20 net_agree

echo "node 3's files are overwritten while it is down"
net_end 3 KILL
dd if=/dev/urandom of="$(net_dir 3)/chain/log-00000001.seg" bs=4096 seek=2 count=8 conv=notrunc status=none
dd if=/dev/urandom of="$(net_dir 3)/chain/data.mdb" bs=4096 seek=1 count=8 conv=notrunc status=none
nk 1 -n heal create configmap while-three-is-away >/dev/null
net_spawn 3
net_wait_ready 3
wait_for 20 net_agree
check_equal "$(nk 3 -n heal get configmap while-three-is-away -o name)" configmap/while-three-is-away
[ "$(ls -d "$(net_dir 3)"/chain.damaged-* | wc -l)" = 1 ] || fail "the damaged store was not set aside: $(ls "$(net_dir 3)")"
nk 3 -n heal create configmap after-healing >/dev/null

for i in 1 2 3; do "$KATENA" chain verify --data-dir "$(net_dir "$i")" >/dev/null || fail "the chain of node $i does not verify"; done
