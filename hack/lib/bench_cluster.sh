# Three nodes of katena beside three of etcd, for ./hack/bench.

cluster_katena=()
cluster_etcd=()
etcd_scheme=http
etcd_options=() # what makes it https

cluster_host() {
    echo "127.0.0.$((20 + $1))"
}

# cluster_start_katena I [OPTION...]: node I (1 to 3), again or for the first time.
cluster_start_katena() {
    local i=$1 options=()
    shift
    if [ "$i" != 1 ] && [ ! -d "$work/cluster$i" ]; then
        options=(--join "https://$(cluster_host 1):$katena_port"
            --token "$("$ROOT/build/katena" token create --data-dir "$work/cluster1" 2>>"$work/cluster.log" | tail -1)")
    fi
    # Who was killed has its directory until it is gone.
    while [ -n "${cluster_katena[i]:-}" ] && [ -e "/proc/${cluster_katena[i]}" ]; do sleep 0.01; done
    "$ROOT/build/katena" server --control-plane-only --data-dir "$work/cluster$i" --node-name "bench$i" \
        --bind-address "$(cluster_host "$i")" --https-listen-port $katena_port "${options[@]}" "$@" \
        >>"$work/cluster$i.log" 2>&1 &
    cluster_katena[i]=$!
    disown # that it is killed is no news
    until curl -ksf -o /dev/null "https://$(cluster_host "$i"):$katena_port/readyz"; do
        [ -e "/proc/${cluster_katena[i]}" ] || { tail "$work/cluster$i.log" >&2; die "node $i ended"; }
        sleep 0.01
    done
}

# From now on etcd is started as Kubernetes runs it: clients and peers show certificates, over TLS.
cluster_secure_etcd() {
    local pem="$work/etcd.pem" key="$work/etcd.key"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=etcd \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$key" -out "$pem" 2>>"$work/cluster.log"
    etcd_scheme=https
    etcd_options=(--cert-file "$pem" --key-file "$key" --trusted-ca-file "$pem" --client-cert-auth
        --peer-cert-file "$pem" --peer-key-file "$key" --peer-trusted-ca-file "$pem" --peer-client-cert-auth)
}

cluster_clear_etcd() {
    etcd_scheme=http
    etcd_options=()
}

# etcd_curl NODE PATH [OPTION...]
etcd_curl() {
    local node=$1 path=$2
    shift 2
    curl -s --cacert "$work/etcd.pem" --cert "$work/etcd.pem" --key "$work/etcd.key" "$@" \
        "$etcd_scheme://127.0.0.1:1900$node$path"
}

# cluster_etcd_load NODE ARGUMENT...: the load on a node of etcd.
cluster_etcd_load() {
    local node=$1 pem='' key=''
    shift
    if [ $etcd_scheme = https ]; then
        pem="$work/etcd.pem"
        key="$work/etcd.key"
    fi
    BENCH_HOST=127.0.0.1 BENCH_PORT=1900$node BENCH_CA=$pem BENCH_CERT=$pem BENCH_KEY=$key "$load" "$@"
}

cluster_start_etcd() {
    local i=$1 name state=new peers
    name=$(tr 123 abc <<<"$i")
    peers=$(printf '%s=%s://127.0.0.1:1800%s,' a $etcd_scheme 1 b $etcd_scheme 2 c $etcd_scheme 3)
    [ ! -d "$work/etcd$i" ] || state=existing
    etcd --name "$name" --data-dir "$work/etcd$i" --initial-cluster-state $state --initial-cluster "${peers%,}" \
        --listen-client-urls "$etcd_scheme://127.0.0.1:1900$i" \
        --advertise-client-urls "$etcd_scheme://127.0.0.1:1900$i" \
        --listen-peer-urls "$etcd_scheme://127.0.0.1:1800$i" \
        --initial-advertise-peer-urls "$etcd_scheme://127.0.0.1:1800$i" "${etcd_options[@]}" \
        >>"$work/etcd$i.log" 2>&1 &
    cluster_etcd[i]=$!
    disown
}

cluster_wait_etcd() {
    local i
    for i in 1 2 3; do
        until etcd_curl "$i" /health | grep -q true; do sleep 0.01; done
    done
}

cluster_start_all_etcd() {
    local i
    for i in 1 2 3; do cluster_start_etcd $i; done
    cluster_wait_etcd
}

cluster_stop_etcd() {
    local pid
    for pid in "${cluster_etcd[@]}"; do
        kill "$pid" 2>/dev/null || true
        while [ -e "/proc/$pid" ]; do sleep 0.02; done
    done
    cluster_etcd=()
    rm -rf "$work"/etcd[123]
}

cluster_stop() {
    local pid
    cluster_stop_etcd
    for pid in "${cluster_katena[@]}"; do
        kill "$pid" 2>/dev/null || true
        while [ -e "/proc/$pid" ]; do sleep 0.02; done
    done
    cluster_katena=()
}

# The number of the etcd node that leads, asked of a node.
cluster_etcd_leader() {
    local i status
    for i in 1 2 3; do
        status=$(etcd_curl "$i" /v3/maintenance/status -X POST -d '{}') || continue
        if [ "$(jq -r '.leader == .header.member_id' <<<"$status" 2>/dev/null)" = true ]; then
            echo "$i"
            return
        fi
    done
}

# The number of the node that produces blocks at the moment.
cluster_producer() {
    "$ROOT/build/katena" node list --data-dir "$work/cluster$1" -o json |
        jq -r '.items[] | select(.producer) | .name' | sed 's/^bench//'
}

median() {
    sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

highest() {
    sort -n | tail -1
}

cluster_failover() {
    local round leader producer other
    : >"$work/ours"
    : >"$work/theirs"
    for round in $(seq "${FAILOVERS:-9}"); do
        producer=$(cluster_producer 1)
        other=$((producer % 3 + 1))
        python3 "$ROOT/test/bench/failover.py" katena "https://$(cluster_host $other):$katena_port" \
            "$BENCH_CA" "$BENCH_CERT" "$BENCH_KEY" "${cluster_katena[producer]}" >>"$work/ours"
        cluster_start_katena "$producer"
        leader=$(cluster_etcd_leader)
        other=$((leader % 3 + 1))
        python3 "$ROOT/test/bench/failover.py" etcd "http://127.0.0.1:1900$other" "${cluster_etcd[leader]}" >>"$work/theirs"
        cluster_start_etcd "$leader"
        cluster_wait_etcd
        sleep 1
    done
    row "kill -9 of the producer to a write, p50 ms" "$(median <"$work/ours")" "$(median <"$work/theirs")" \
        "$(ratio "$(median <"$work/ours")" "$(median <"$work/theirs")")"
    row "  the slowest of ${FAILOVERS:-9}, ms" "$(highest <"$work/ours")" "$(highest <"$work/theirs")" \
        "$(ratio "$(highest <"$work/ours")" "$(highest <"$work/theirs")")"
}

cluster_metric() {
    curl -s --cacert "$BENCH_CA" --cert "$BENCH_CERT" --key "$BENCH_KEY" "https://$(cluster_host 1):$katena_port/metrics" |
        awk -v name="^$1" '$0 ~ name {sum += $2} END {printf "%d\n", sum}'
}

cluster_idle() {
    local pid=${cluster_katena[1]} bytes cpu disk
    sleep 15 # a checkpoint has been written
    bytes=$(cluster_metric katena_peer_sent_bytes)
    cpu=$(awk '{print $14 + $15}' "/proc/$pid/stat")
    disk=$(awk '/^write_bytes/ {print $2}' "/proc/$pid/io")
    sleep 30
    # Before anything is asked: a reader enters itself into a page of LMDB's lock.mdb, which goes to the disk later.
    disk=$(($(awk '/^write_bytes/ {print $2}' "/proc/$pid/io") - disk))
    cpu=$(($(awk '{print $14 + $15}' "/proc/$pid/stat") - cpu))
    row "idle: bytes sent per minute and link" $((($(cluster_metric katena_peer_sent_bytes) - bytes) * 2 / 2)) - -
    row "idle: CPU of a node, % of a core" "$(ratio "$cpu" 30)" - -
    row "idle: bytes written to disk" "$disk" - -
}

# cluster_join OBJECTS: the time until a fourth node that joins is ready, with all of the state.
cluster_join() {
    local began
    began=$(date +%s%N)
    cluster_start_katena 4
    row "join with $1 ConfigMaps, ms" $((($(date +%s%N) - began) / 1000000)) - -
    "$ROOT/build/katena" node remove bench4 --data-dir "$work/cluster1" >>"$work/cluster.log" 2>&1
    while [ -e "/proc/${cluster_katena[4]}" ]; do sleep 0.02; done # it ends by itself
    unset 'cluster_katena[4]'
    rm -rf "$work/cluster4"
}

bench_cluster() {
    heading "three nodes: create a ConfigMap / put, 1 KiB"
    echo "each round through another node, of katena as of etcd:"
    stop_katena
    stop_etcd
    local i saved=$KUBECONFIG
    cluster_secure_etcd
    cluster_start_all_etcd
    for i in 1 2 3; do cluster_start_katena $i; done
    export BENCH_HOST
    BENCH_HOST=$(cluster_host 1)
    use_kubeconfig "$work/cluster1/kubeconfig"
    "$KUBECTL" create namespace bench >/dev/null
    until "$KUBECTL" -n bench get serviceaccount default >/dev/null 2>&1; do sleep 0.1; done
    local leader final round=1
    # The round is that of alternate.
    katena_load() {
        BENCH_HOST=$(cluster_host "$round") BENCH_PORT=$katena_port "$load" "$@"
    }
    etcd_load() {
        cluster_etcd_load "$round" "$@"
    }
    echo "etcd over TLS, as Kubernetes runs it:"
    write_rows
    leader=$(cluster_etcd_leader)
    etcd_load() {
        cluster_etcd_load "$leader" "$@"
    }
    echo "etcd over TLS, through its leader:"
    write_rows
    cluster_stop_etcd
    cluster_clear_etcd
    cluster_start_all_etcd
    etcd_load() {
        cluster_etcd_load "$round" "$@"
    }
    echo "etcd in clear text:"
    write_rows
    final=$(katena_load katena-final 1 3)
    row "irreversible, 1 client, p50 ms" "$(awk '{printf "%.0f", $2 / 1000}' <<<"$final")" - -
    row "irreversible, 1 client, p99 ms" "$(awk '{printf "%.0f", $3 / 1000}' <<<"$final")" - -
    cluster_failover
    cluster_idle
    cluster_join "$("$KUBECTL" get --raw '/api/v1/configmaps?limit=1' | jq '(.metadata.remainingItemCount // 0) + (.items | length)')"
    katena_load katena-fill 100000 >/dev/null
    cluster_join "100,000 more"
    cluster_stop
    one_node_loads
    export KUBECONFIG=$saved BENCH_HOST=127.0.0.1
    echo
    echo "cost of a node by the size of the cluster, in the simulator:"
    "$BUILD/test/clustersim" --cost
}
