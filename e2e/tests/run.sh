# ./hack/run --stop leaves nothing behind, so that the next ./hack/run begins anew.
for round in first second; do
    "$ROOT/hack/run" --control-plane-only --data-dir "$PWD/node" --port 18443 >"$round.log" 2>&1 ||
        { cat "$round.log" >&2; fail "the $round run failed"; }
    export_line=$(tail -1 "$round.log")
    check_equal "$export_line" "export KUBECONFIG=$PWD/node/kubeconfig"
    "$KUBECTL" --kubeconfig node/kubeconfig create namespace "only-once"
    "$ROOT/hack/run" --stop --data-dir "$PWD/node"
    [ ! -e node ] || fail "--stop left $(ls -A node)"
done
