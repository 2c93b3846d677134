# A cluster of real nodes, each in a network namespace of its own, on one virtual switch whose links can be cut.
#
#   net_begin COUNT          makes the switch and the namespaces
#   net_node_start I [OPTION...]   starts node I; the first makes the cluster, others join it by a token
#   net_cut "1" "2 3"        only nodes of one group reach each other; one way: net_cut_from 1 2
#   net_heal
#   net_end I SIGNAL; net_finish   (with KEEP_LOGS=DIR what the nodes said is copied there)
#
# Node I has the address 10.99.0.I, and the test reaches all of them, whatever is cut. The switch and the names of the
# namespaces are in a network that is the run's own (e2e/run).

NET_SWITCH=katena-e2e
NET_COUNT=0
NET_OPTIONS=(--control-plane-only)

net_begin() {
    NET_COUNT=$1
    ip link add $NET_SWITCH type bridge
    ip addr add 10.99.0.254/24 dev $NET_SWITCH
    ip link set $NET_SWITCH up
    nft add table bridge $NET_SWITCH
    nft "add chain bridge $NET_SWITCH cut { type filter hook forward priority 0; }"
    local i
    for i in $(seq "$NET_COUNT"); do
        ip netns add "$NET_SWITCH-$i"
        ip link add "ke2e$i" type veth peer name eth0 netns "$NET_SWITCH-$i"
        ip link set "ke2e$i" master $NET_SWITCH up
        ip -n "$NET_SWITCH-$i" addr add "10.99.0.$i/24" dev eth0
        ip -n "$NET_SWITCH-$i" link set lo up
        ip -n "$NET_SWITCH-$i" link set eth0 up
        ip -n "$NET_SWITCH-$i" route add default via 10.99.0.254
    done
}

# Images for a node that runs containers.
net_node_prepare() {
    mkdir -p "$(net_dir "$1")/images"
    cp "$ROOT"/build/images/*.tar "$(net_dir "$1")/images/"
}

net_dir() {
    echo "$TEST_DIR/node$1"
}

net_pid() {
    cat "$TEST_DIR/node$1.pid" 2>/dev/null
}

net_config() {
    echo "$TEST_DIR/node$1/kubeconfig"
}

# nk I ARGS: kubectl against node I.
nk() {
    local i=$1
    shift
    "$KUBECTL" --kubeconfig "$(net_config "$i")" "$@"
}

net_ready() {
    curl -ksf -m 2 -o /dev/null "https://10.99.0.$1:6443/readyz"
}

# in_net I COMMAND...: in node I's network. Not "ip netns exec", which hides the control groups.
in_net() {
    local i=$1
    shift
    nsenter --net="/run/netns/$NET_SWITCH-$i" "$@"
}

# net_spawn I OPTION...: the process alone, without waiting.
net_spawn() {
    local i=$1
    shift
    # Not by in_net: the process id would be that of a shell around it.
    nsenter --net="/run/netns/$NET_SWITCH-$i" "$KATENA" server --data-dir "$(net_dir "$i")" --bind-address "10.99.0.$i" \
        --node-name "node$i" "${NET_OPTIONS[@]}" "$@" >>"$TEST_DIR/node$i.log" 2>&1 &
    echo $! >"$TEST_DIR/node$i.pid"
    disown # that it is killed is no news
}

net_alive() {
    local pid
    pid=$(net_pid "$1") && pid_running "$pid"
}

net_wait_ready() {
    local _
    for _ in $(seq 400); do
        if net_ready "$1"; then return 0; fi
        net_alive "$1" || break
        sleep 0.05
    done
    tail -30 "$TEST_DIR/node$1.log"
    fail "node $1 does not become ready"
}

# What node I says of all nodes.
net_nodes() {
    "$KATENA" node list --data-dir "$(net_dir "$1")" -o json
}

# How many of them vote and are there.
net_acting() {
    net_nodes "$1" | jq '[.items[] | select(.phase == "Acting" and .live)] | length'
}

net_node_start() {
    local i=$1
    shift
    if [ "$i" != 1 ] && [ ! -e "$(net_dir "$i")/chain" ]; then
        local token
        token=$("$KATENA" token create --data-dir "$(net_dir 1)" | tail -1)
        set -- --join https://10.99.0.1:6443 --token "$token" "$@"
    fi
    net_spawn "$i" "$@"
    net_wait_ready "$i"
}

# Only nodes of one group reach each other; a node that is named nowhere reaches nobody.
net_cut() {
    local i k group rules=""
    for i in $(seq "$NET_COUNT"); do
        for k in $(seq "$NET_COUNT"); do
            [ "$i" != "$k" ] || continue
            local together=
            for group in "$@"; do
                case " $group " in *" $i "*) case " $group " in *" $k "*) together=1 ;; esac ;; esac
            done
            [ -n "$together" ] || rules+="add rule bridge $NET_SWITCH cut iifname ke2e$i oifname ke2e$k drop"$'\n'
        done
    done
    nft -f - <<<"flush chain bridge $NET_SWITCH cut"$'\n'"$rules"
}

# One direction: what node $1 sends does not reach node $2.
net_cut_from() {
    nft add rule bridge $NET_SWITCH cut iifname "ke2e$1" oifname "ke2e$2" drop
}

net_heal() {
    nft flush chain bridge $NET_SWITCH cut
}

# net_end I SIGNAL: ends a node and waits for it.
net_end() {
    local pid _
    pid=$(net_pid "$1") || return 0
    kill "-$2" "$pid" 2>/dev/null || return 0
    for _ in $(seq 200); do
        net_alive "$1" || return 0
        sleep 0.05
    done
    fail "node $1 does not end"
}

net_finish() {
    local i
    if [ -n "${KEEP_LOGS:-}" ]; then
        cp "$TEST_DIR"/*.log "$TEST_DIR"/record "$TEST_DIR"/conflicts.json "$E2E_DIR"/*.out "$KEEP_LOGS"/ 2>/dev/null || true
        for i in $(seq "$NET_COUNT"); do
            nk "$i" --request-timeout 5s get pods,deployments,replicasets,nodes,events -A -o wide >"$KEEP_LOGS/objects$i" 2>&1 || true
        done
    fi
    for i in $(seq "$NET_COUNT"); do (net_end "$i" TERM) || net_end "$i" KILL; done
    for i in $(seq "$NET_COUNT"); do
        [ ! -d "$(net_dir "$i")/containerd" ] ||
            in_net "$i" "$KATENA" server --cleanup --data-dir "$(net_dir "$i")" \
                >>"$TEST_DIR/node$i.log" 2>&1 || true
        ip link del "ke2e$i" 2>/dev/null || true
        ip netns del "$NET_SWITCH-$i" 2>/dev/null || true
    done
    nft delete table bridge $NET_SWITCH 2>/dev/null || true
    ip link del $NET_SWITCH 2>/dev/null || true
}

# What nodes hold, in a form that can be compared: one line for each object, with its resourceVersion.
net_objects() {
    nk "$1" get configmaps,namespaces,deployments,replicasets,pods,services,secrets,serviceaccounts,nodes -A \
        -o 'jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name} {.metadata.uid} {.metadata.resourceVersion}{"\n"}{end}' | sort
}

net_agree() {
    local i first
    first=$(net_objects 1) && [ -n "$first" ] || return 1
    for i in $(seq 2 "$NET_COUNT"); do
        [ "$(net_objects "$i")" = "$first" ] || return 1
    done
}
