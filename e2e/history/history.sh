# Load on a cluster of netns.sh, recorded by client.py and judged by check.py.
#
#   history_begin [OPTION...]   makes namespace "history" and starts writers and watchers on every node
#   answers I                   node I takes a write, whatever else is the case
#   history_end                 ends the load once nodes agree, and judges what was answered, seen and kept

history_begin() {
    local i configs=()
    nk 1 create namespace history >/dev/null
    wait_for 10 nk "$NET_COUNT" get namespace history
    for i in $(seq "$NET_COUNT"); do configs+=(--config "node$i=$(net_config "$i")"); done
    export KUBECTL
    python3 "$ROOT/e2e/history/client.py" "${configs[@]}" --namespace history --out record --stop-file stop \
        --settled-file settled "$@" >client.log 2>&1 &
    HISTORY_CLIENT=$!
}

answers() {
    local name=probe-$1-$RANDOM
    timeout 10 "$KUBECTL" --kubeconfig "$(net_config "$1")" --request-timeout 3s -n history create configmap "$name" >/dev/null ||
        fail "node $1 takes no write"
}

history_end() {
    local i
    touch stop
    wait_for 40 net_agree
    "$KATENA" chain conflicts -A -o json --kubeconfig "$(net_config 1)" >conflicts.json
    touch settled
    wait "$HISTORY_CLIENT" || fail "the clients ended badly: $(cat client.log)"
    python3 "$ROOT/e2e/history/check.py" record --conflicts conflicts.json || fail "the history does not hold"
    for i in $(seq "$NET_COUNT"); do
        "$KATENA" chain verify --data-dir "$(net_dir "$i")" >/dev/null || fail "the chain of node $i does not verify"
    done
}
