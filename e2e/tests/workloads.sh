# Pods on three nodes in network namespaces: they spread, reach each other through a Service, and go on running, the
# same containers, while links are cut and nodes of the control plane are killed and come back.
. "$ROOT/e2e/netns.sh"
trap net_finish EXIT
NET_OPTIONS=(--cluster-cidr 10.152.0.0/16 --service-cidr 10.153.0.0/16)
net_begin 3
for i in 1 2 3; do
    net_node_prepare "$i"
    net_node_start "$i"
done
wait_for 30 sh -c "[ \$($KUBECTL --kubeconfig $(net_config 1) get nodes --no-headers | grep -c ' Ready ') = 3 ]"
nk 1 create namespace work >/dev/null
w() { nk "${AT:-1}" -n work "$@"; }
w create deployment web --image=katena.local/nginx:1 --replicas=6 --port=80
w expose deployment web --port=8080 --target-port=80
w rollout status deployment/web --timeout=90s; check_equal "$(w get pods -o 'jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort -u | wc -l)" 3
ip=$(w get service web -o 'jsonpath={.spec.clusterIP}')

# fetch I: the page by the Service's address, from node I, six times, so that pods of all nodes answer.
fetch() {
    local _
    for _ in 1 2 3 4 5 6; do
        in_net "$1" curl -sf --max-time 2 "http://$ip:8080/" | grep -q "Hello from a pod" || return 1
    done
}
for i in 1 2 3; do wait_for 20 fetch "$i"; done

ids() {
    w get pods -o 'jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.spec.nodeName} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort
}
before=$(ids)
echo "$before"

echo "logs and exec by way of another node"
pod=$(w get pods -o 'jsonpath={.items[?(@.spec.nodeName=="node2")].metadata.name}' | cut -d' ' -f1)
for AT in 1 2 3; do
    check_contains "$(w exec "$pod" -- hostname)" "$pod"
    w logs "$pod" >/dev/null
done
AT=1

echo "node 1 cut off"
net_cut "1" "2 3"
sleep 4
AT=2 w create configmap on-the-other-side
AT=1 w create configmap on-this-side
sleep 6
net_heal
wait_for 30 net_agree
w get configmap on-the-other-side on-this-side >/dev/null
check_equal "$(ids)" "$before"
for i in 1 2 3; do wait_for 10 fetch "$i"; done

echo "both sides scale while they are apart"
net_cut "1" "2 3"
sleep 4
AT=2 w annotate deployment web side=other
AT=1 w label deployment web colour=blue
sleep 1
net_heal
wait_for 30 net_agree
check_equal "$(w get deployment web -o 'jsonpath={.metadata.annotations.side} {.metadata.labels.colour}')" "other blue"
check_equal "$(ids)" "$before"

echo "node 2 killed, and back"
net_end 2 KILL
sleep 2
AT=3 w create configmap while-two-is-away
net_spawn 2
net_wait_ready 2
wait_for 30 net_agree
sleep 2
check_equal "$(ids)" "$before"

echo "node 1, the first, gone for good"
net_end 1 KILL
AT=2
# Until it counts as lost, a pod may be given to it.
wait_equal 30 Unknown w get node node1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
w scale deployment web --replicas=7
wait_equal 60 7 sh -c "$KUBECTL --kubeconfig $(net_config 2) -n work get pods --no-headers | grep -c ' Running '"
