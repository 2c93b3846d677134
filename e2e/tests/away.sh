# A node that was away for longer than the others keep blocks fetches the state anew. It stays who it was, and what it
# wrote where nobody could see it is brought back, or told where it lost.
. "$ROOT/e2e/netns.sh"
trap net_finish EXIT
NET_OPTIONS+=(--retention 1s)
net_begin 3
for i in 1 2 3; do net_node_start "$i"; done
wait_equal 20 3 net_acting 1
a() { local i=$1; shift; nk "$i" -n away "$@"; }
field() { a "$1" get configmap "$2" -o "jsonpath={.data.$3}"; }
patch() { a "$1" patch configmap "$2" --type merge -p "$3" >/dev/null; }

nk 1 create namespace away >/dev/null
a 1 create configmap before --from-literal=word=one >/dev/null
a 1 create configmap shared --from-literal=left=old --from-literal=right=old --from-literal=both=old >/dev/null
a 1 create configmap removed >/dev/null
wait_for 10 net_agree
key=$(net_nodes 1 | jq -r '.items[] | select(.name == "node3") | .key')
[ "${#key}" -ge 32 ] || fail "node 3 has no key: $(net_nodes 1)"
old_rv=$(a 3 get configmap before -o 'jsonpath={.metadata.resourceVersion}')

echo "node 3 writes where nobody sees it, and is killed"
net_cut "1 2" "3"
sleep 4 # long enough to be seen as gone
a 3 create configmap unseen --from-literal=word=only-here >/dev/null
patch 3 shared '{"data": {"right": "three", "both": "three"}}'
a 3 delete configmap removed >/dev/null
head3=$("$KATENA" chain status --data-dir "$(net_dir 3)" | awk '/^height/ {print $2}')
net_end 3 KILL
net_heal
patch 1 shared '{"data": {"left": "one", "both": "one"}}'

echo "the others go on until what it has is pruned"
# Blocks go in whole segments, the first of which is 1 MiB, when all are older than twice the retention.
head -c 600000 /dev/zero | tr '\0' x >filler
pruned() { grep -q 'pruned segment' "$TEST_DIR/node1.log" && grep -q 'pruned segment' "$TEST_DIR/node2.log"; }
for round in $(seq 60); do
    ! pruned || break
    a $((round % 2 + 1)) create configmap "filler-$round" --from-file=filler >/dev/null
    sleep 0.5
done
pruned || fail "nothing was pruned"
patch 2 before '{"data": {"word": "two"}}'

echo "it comes back"
net_spawn 3
net_wait_ready 3
wait_for 30 net_agree
log=$TEST_DIR/node3.log
grep -q 'this node needs a snapshot' "$log" || fail "node 3 did not need a snapshot: $(cat "$log")"
check_equal "$(grep -c 'serves the API' "$log")" 2 # and not once more with what was too old
grep -q 'sync: the state is here' "$log" || fail "node 3 did not fetch the state: $(cat "$log")"
check_equal "$(net_nodes 1 | jq -r '.items[] | select(.name == "node3") | .key')" "$key"
check_equal "$(net_nodes 3 | jq -r '.items[] | select(.self) | .key')" "$key"
check_equal "$(net_nodes 3 | jq -r '.items | length')" 3
check_equal "$(field 3 before word)" two
a 3 create configmap after >/dev/null
wait_for 10 a 1 get configmap after
watched=$(a 3 get --raw "/api/v1/namespaces/away/configmaps?resourceVersion=$old_rv&watch=1&timeoutSeconds=1" 2>&1)
check_contains "$watched" "too old resource version: $old_rv"

echo "nothing of what it wrote is lost without a trace"
for i in 1 2 3; do
    wait_equal 20 only-here field "$i" unseen word
    wait_equal 20 "one three" a "$i" get configmap shared -o 'jsonpath={.data.left} {.data.right}'
    wait_equal 20 "" a "$i" get configmap removed --ignore-not-found -o name
done
conflicts() { "$KATENA" chain conflicts -n away -o json --kubeconfig "$(net_config 1)"; }
case $(field 1 shared both) in
one) check_contains "$(conflicts)" '\"three\"' ;;
three) check_contains "$(conflicts)" '\"one\"' ;;
*) fail "a value that nobody wrote: $(field 1 shared both)" ;;
esac

echo "killed and back once more, it goes on from there"
wait_for 20 net_agree
net_end 3 KILL
net_spawn 3
net_wait_ready 3
wait_for 20 net_agree
check_equal "$(grep -c 'this node needs a snapshot' "$log")" 1
a 3 create configmap last >/dev/null
wait_for 20 net_agree
for i in 1 2 3; do "$KATENA" chain verify --data-dir "$(net_dir "$i")" >/dev/null || fail "the chain of node $i does not verify"; done
