# A node that was away for too long, but missed few blocks, begins to serve before it is told that nobody keeps them. What
# its start writes is in no chain, ever; it gives that up, and fetches the state.
. "$ROOT/e2e/netns.sh"
trap net_finish EXIT
NET_OPTIONS+=(--retention 1s)
net_begin 3
for i in 1 2 3; do net_node_start "$i"; done
wait_equal 20 3 net_acting 1
height() { "$KATENA" chain status --data-dir "$(net_dir "$1")" | awk '/^height/ {print $2}'; }

echo "something is missing that each start makes, and node 3 goes"
nk 1 delete clusterrole system:basic-user >/dev/null
wait_for 10 net_agree
before=$(height 3)
net_end 3 KILL

echo "the others prune what follows"
# Blocks go in whole segments, the first of which is 1 MiB, when all are older than twice the retention and a checkpoint
# is past them, as there is at the end of a node.
head -c 700000 /dev/zero | tr '\0' x >filler
nk 1 create configmap filler-1 --from-file=filler >/dev/null
nk 1 create configmap filler-2 --from-file=filler >/dev/null
wait_for 10 nk 2 get configmap filler-2
for i in 1 2; do
    net_end "$i" TERM
    net_node_start "$i"
    wait_equal 20 2 net_acting "$i"
done
sleep 2
nk 1 create configmap last >/dev/null
pruned() { grep -q 'pruned segment' "$TEST_DIR/node1.log" && grep -q 'pruned segment' "$TEST_DIR/node2.log"; }
wait_for 10 pruned
echo "node 3 has block $before of $(height 1)"

echo "it comes back"
net_spawn 3
wait_for 60 net_ready 3
wait_for 30 net_agree
log=$TEST_DIR/node3.log
grep -q 'this node needs a snapshot' "$log" || fail "node 3 did not need a snapshot: $(cat "$log")"
check_equal "$(grep -c 'serves the API' "$log")" 2 # and not once more with what was too old
wait_for 10 nk 3 get configmap last
