# A runtime that is there already is used as it is (--container-runtime-endpoint), and outlives the node.
first=$(mktemp -d /tmp/katena-e2e.XXXXXX)
second=$(mktemp -d /tmp/katena-e2e.XXXXXX)
other=$((E2E_PORT + 2))
mkdir "$first/images" && cp "$ROOT/build/images/busybox.tar" "$first/images/"
networks="--cluster-cidr 10.144.0.0/16 --service-cidr 10.145.0.0/16"
start_other() {
    "$KATENA" server --https-listen-port $other --peer-port $((E2E_PORT + 3)) $networks "$@" >>"$TEST_DIR/other.log" 2>&1 &
    wait_for 30 curl -ksf -o /dev/null "https://127.0.0.1:$other/readyz"
}
end_other() {
    kill "$1"
    wait "$1" || true
}
start_other --data-dir "$first"
pid=$!
wait_for 30 grep -q 'ready; export' other.log
end_other $pid
socket=$first/containerd/containerd.sock
[ -S "$socket" ] || fail "containerd did not outlive its node"
start_other --data-dir "$second" --node-name guest --container-runtime-endpoint "unix://$socket"
pid=$!
[ ! -e "$second/containerd" ] || fail "an own containerd was started all the same"
o() { "$KUBECTL" --kubeconfig "$second/kubeconfig" "$@"; }
wait_for 30 o get serviceaccount default
o run visitor --image=katena.local/busybox:1 --restart=Never --command -- sh -c 'echo here; sleep 300'
o wait --for=condition=Ready pod/visitor --timeout=60s
check_equal "$(o logs visitor)" here
check_equal "$(o get pod visitor -o 'jsonpath={.spec.nodeName}')" guest
o delete pod visitor --grace-period=1
end_other $pid
"$KATENA" server --cleanup --data-dir "$second"
"$KATENA" server --cleanup --data-dir "$first"
rm -rf --one-file-system "$first" "$second"
