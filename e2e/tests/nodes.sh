# Two nodes on this host, each with its own containerd, at 127.0.0.1 and 127.0.0.2: pods of one cluster spread over
# both and reach each other, each node answers for the pods of the other, and what runs goes on whatever happens to
# katena and to the link between the two.
NODES_PORT=${NODES_PORT:-26443}
PEER_PORT=$((NODES_PORT + 1))
IMAGE=katena.local/busybox:1
DIR1=$TEST_DIR/one
DIR2=$TEST_DIR/two

# run_node I NAME OPTION...: the process, with its number in a file.
run_node() {
    local i=$1 name=$2
    shift 2
    "$KATENA" server --data-dir "$TEST_DIR/$name" --bind-address "127.0.0.$i" --https-listen-port "$NODES_PORT" \
        --peer-port "$PEER_PORT" --node-name "$name" --node-monitor-grace-period 3s "$@" \
        >>"$TEST_DIR/$name.log" 2>&1 &
    echo $! >"$TEST_DIR/$name.pid"
}

answers_at() {
    curl -ksf -m 2 -o /dev/null "https://127.0.0.$1:$NODES_PORT/readyz"
}

k1() {
    "$KUBECTL" --kubeconfig "$DIR1/kubeconfig" --request-timeout 20s "$@"
}

k2() {
    "$KUBECTL" --kubeconfig "$DIR2/kubeconfig" --request-timeout 20s "$@"
}

end_nodes() {
    local name
    nft delete table inet katena-e2e-cut 2>/dev/null || true
    for name in one two; do
        kill -TERM "$(cat "$TEST_DIR/$name.pid")" 2>/dev/null || true
    done
    for name in one two; do
        wait "$(cat "$TEST_DIR/$name.pid")" 2>/dev/null || true
        "$KATENA" server --cleanup --data-dir "$TEST_DIR/$name" 2>&1 | tail -3 || true
        echo "--- $name"
        tail -15 "$TEST_DIR/$name.log"
    done
}

# Each node of a host has a table of rules of its own.
tables() {
    nft list tables | grep -c '^table ip katena-'
}

mkdir -p "$DIR1/images" "$DIR2/images"
cp "$ROOT"/build/images/busybox.tar "$DIR1/images/"
cp "$ROOT"/build/images/busybox.tar "$DIR2/images/"
trap end_nodes EXIT
run_node 1 one --cluster-cidr 10.152.0.0/16 --service-cidr 10.153.0.0/16
wait_for 30 answers_at 1
run_node 2 two --join "https://127.0.0.1:$NODES_PORT" --token "$("$KATENA" token create --data-dir "$DIR1" | tail -1)"
wait_for 30 answers_at 2

ready_nodes() {
    k1 get nodes --no-headers | awk '$2 == "Ready" {n++} END {print n + 0}'
}
wait_equal 20 2 ready_nodes
check_equal "$(k2 get nodes -o 'jsonpath={.items[*].spec.podCIDR}')" "10.152.0.0/24 10.152.1.0/24"

echo "a deployment spreads"
k1 apply -f - >/dev/null <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: $IMAGE
        command: [sh, -c, 'trap "exit 0" TERM; mkdir -p /www; hostname >/www/index.html; echo "I am \$(hostname)"; httpd -p 8080 -h /www; while :; do sleep 0.1; done']
        readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
YAML
k2 rollout status deployment/web --timeout 60s >/dev/null
# pods_on NODE: names of the deployment's pods there.
pods_on() {
    k1 get pods -l app=web --field-selector "spec.nodeName=$1" -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}'
}
check_equal "$(pods_on one | wc -l) $(pods_on two | wc -l)" "2 2"
first=$(pods_on one | sed -n 1p)
second=$(pods_on two | sed -n 1p)

echo "each node answers for the pods of the other"
check_equal "$(k1 logs "$second")" "I am $second"
check_equal "$(k2 logs "$first")" "I am $first"
check_equal "$(k1 exec "$second" -- hostname)" "$second"
check_equal "$(echo through | k2 exec -i "$first" -- head -1)" "through"
check_fails "exit code 3" k1 exec "$second" -- sh -c 'exit 3'
check_fails "not valid for pod" k1 logs "$second" -c other
"$KUBECTL" --kubeconfig "$DIR1/kubeconfig" port-forward "pod/$second" "$((NODES_PORT + 2)):8080" >/dev/null 2>&1 &
forward=$!
wait_equal 10 "$second" curl -s -m 2 "http://127.0.0.1:$((NODES_PORT + 2))/"
kill $forward

echo "pods reach pods and services of the other node"
second_ip=$(k1 get pod "$second" -o 'jsonpath={.status.podIP}')
service=$(k1 get service web -o 'jsonpath={.spec.clusterIP}')
check_equal "$(k1 exec "$first" -- wget -qO- "http://$second_ip:8080/")" "$second"
# all_answer FROM...: every pod of the deployment answers, sooner or later.
all_answer() {
    local seen="" _
    for _ in $(seq 60); do seen+=$("$@" "http://$service/")$'\n'; done
    sort -u <<<"$seen" | grep -c web-
}
wait_equal 20 4 all_answer curl -s -m 3
check_equal "$(all_answer k2 exec "$second" -- wget -qO-)" 4

containers() {
    k1 get pods -l app=web -o 'jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID}{"\n"}{end}' | sort
}
all_ready() {
    k1 get deployment web -o 'jsonpath={.status.readyReplicas}'
}
before=$(containers)

echo "kill -9 of one katena: its pods go on, the other node does the work"
kill -9 "$(cat "$TEST_DIR/two.pid")"
wait "$(cat "$TEST_DIR/two.pid")" 2>/dev/null || true
check_equal "$(curl -s -m 3 "http://$second_ip:8080/")" "$second"
check_fails "connect: connection refused" k1 logs "$second"
check_fails "error dialing backend: dial tcp 127.0.0.2:$NODES_PORT: connect: connection refused" k1 exec "$second" -- true
node_two() {
    k1 get node two -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.spec.taints[*].effect}'
}
wait_equal 15 "Unknown NoSchedule NoExecute" node_two
wait_equal 10 2 all_ready
wait_equal 20 2 all_answer curl -s -m 3
k1 create deployment later --image "$IMAGE" --replicas 2 -- sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done' >/dev/null
k1 rollout status deployment/later --timeout 30s >/dev/null
check_equal "$(k1 get pods -l app=later -o 'jsonpath={.items[*].spec.nodeName}')" "one one"

echo "it comes back and finds its pods"
run_node 2 two
wait_for 20 answers_at 2
wait_equal 20 "True " node_two
wait_equal 20 4 all_ready
check_equal "$(containers)" "$before"
check_equal "$(k1 logs "$second")" "I am $second"

echo "the link is cut: both sides go on, and are one again without a restart"
nft -f - <<RULES
table inet katena-e2e-cut {
    chain output { type filter hook output priority 0; tcp dport $PEER_PORT drop; tcp sport $PEER_PORT drop; }
}
RULES
k1 create configmap of-one >/dev/null
k2 create configmap of-two >/dev/null
wait_equal 30 "Unknown NoSchedule NoExecute" node_two
# Each side starts pods of its own.
sleep_forever='trap "exit 0" TERM; while :; do sleep 0.1; done'
k1 create deployment by-one --image "$IMAGE" --replicas 2 -- sh -c "$sleep_forever" >/dev/null
node_one_seen_by_two() {
    k2 get node one -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
}
wait_equal 30 Unknown node_one_seen_by_two
k2 create deployment by-two --image "$IMAGE" --replicas 2 -- sh -c "$sleep_forever" >/dev/null
k1 rollout status deployment/by-one --timeout 30s >/dev/null
k2 rollout status deployment/by-two --timeout 30s >/dev/null
# made CLIENT SIDE: pods and containers of that side's deployment.
made() {
    "$1" get pods -l "app=by-$2" -o 'jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort
}
made_one=$(made k1 one)
made_two=$(made k2 two)
nft delete table inet katena-e2e-cut
both_maps() {
    "$1" get configmap of-one of-two -o name | wc -l
}
wait_equal 40 2 both_maps k1
wait_equal 40 2 both_maps k2
wait_equal 30 "True " node_two
wait_equal 30 2 ready_nodes
wait_equal 30 4 all_ready
check_equal "$(containers)" "$before"
check_equal "$(k1 get pods -l app=later -o name | wc -l)" 2
sleep 3 # as long as a kubelet would wait before it ends what has no object
for client in k1 k2; do
    check_equal "$(made $client one)" "$made_one"
    check_equal "$(made $client two)" "$made_two"
done
check_equal "$(k1 exec deployment/by-two -- echo there)" there

echo "the cleanup of one node leaves the other's"
kill -TERM "$(cat "$TEST_DIR/two.pid")"
wait "$(cat "$TEST_DIR/two.pid")" 2>/dev/null || true
before=$(tables)
"$KATENA" server --cleanup --data-dir "$DIR2"
check_equal "$(tables)" "$((before - 1))"
wait_equal 20 2 all_answer curl -s -m 3
check_equal "$(k1 logs "$first")" "I am $first"
