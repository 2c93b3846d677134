# What the end-to-end tests share: a node, clients, and checks that say what they saw.

TOOLS=$ROOT/build/tools
KATENA=${KATENA:-$ROOT/build/katena}
E2E_PORT=${E2E_PORT:-16443}
E2E_DIR=$(mktemp -d /tmp/katena-e2e.XXXXXX)
DATA_DIR=$E2E_DIR/data
export KUBECONFIG=$DATA_DIR/kubeconfig
KUBECTL=$TOOLS/kubectl-1.35
HELM=$TOOLS/helm-4
export KUBECACHEDIR=$E2E_DIR/cache

# What a host has: an address besides that of the loopback, and a way out, which leads nowhere. The names of network
# namespaces are the run's own, too.
private_network() {
    mount -t tmpfs none /run/netns
    ip link set lo up
    ip link add eth0 type veth peer name outside
    ip addr add 192.0.2.1/24 dev eth0
    ip link set outside up
    ip link set eth0 up
    ip route add default via 192.0.2.254
}

# A katena that a killed run has left would answer in place of the test's.
port_free() {
    local other
    other=$(ss -Hltnp "sport = :$1") || return 0
    [ -z "$other" ] || { echo "port $1 is taken, perhaps by what another run has left: $other"; return 1; }
}

node_prepare() {
    mkdir -p "$DATA_DIR/images"
    cp "$ROOT"/build/images/*.tar "$DATA_DIR/images/"
}

# Its process id stands in a file, since a test that restarts it runs in a shell of its own.
node_pid() {
    cat "$E2E_DIR/pid" 2>/dev/null
}

# A process of which nobody has taken notice yet does not count; but its threads may be about to end, and hold files.
pid_running() {
    [ -e "/proc/$1" ] || return 1
    ! grep -qs '^State:.Z' "/proc/$1/status" || [ "$(ls "/proc/$1/task" 2>/dev/null | wc -l)" -gt 1 ]
}

node_running() {
    local pid
    pid=$(node_pid) && pid_running "$pid"
}

# Starts the node (again, with the same data) and waits until it is ready.
node_start() {
    port_free "$E2E_PORT" && port_free "$((E2E_PORT + 1))" || return 1
    "$KATENA" server --data-dir "$DATA_DIR" --https-listen-port "$E2E_PORT" --peer-port "$((E2E_PORT + 1))" \
        --cluster-cidr "${E2E_CLUSTER_CIDR:-10.142.0.0/16}" --service-cidr "${E2E_SERVICE_CIDR:-10.143.0.0/16}" \
        >>"$E2E_DIR/katena.log" 2>&1 &
    echo $! >"$E2E_DIR/pid"
    local _
    for _ in $(seq 600); do
        if curl -ksf -o /dev/null "https://127.0.0.1:$E2E_PORT/readyz"; then return 0; fi
        node_running || break
        sleep 0.05
    done
    echo "the node does not become ready:"
    tail -40 "$E2E_DIR/katena.log"
    return 1
}

# node_end SIGNAL: ends the node with a signal and waits for it.
node_end() {
    kill "-$1" "$(node_pid)" 2>/dev/null
    local _
    for _ in $(seq 200); do node_running || return 0; sleep 0.05; done
    return 1
}

node_finish() {
    if [ -n "${KEEP:-}" ] && node_running; then
        echo "the node is left running: export KUBECONFIG=$KUBECONFIG (process $(node_pid))"
        return
    fi
    node_end TERM
    "$KATENA" server --cleanup --data-dir "$DATA_DIR" >>"$E2E_DIR/katena.log" 2>&1 || tail -5 "$E2E_DIR/katena.log"
    rm -rf --one-file-system "$E2E_DIR"
}

# ---- a cluster of control planes on this host ----
#
# Node I of a test listens on 127.0.0.I, with its data in $TEST_DIR/member-I. All use the same ports, so that what
# holds for machines holds here.
#
#   member_start I [OPTION...]   starts node I (again) and waits until it is ready
#   member_spawn I [OPTION...]   the same without waiting
#   member_join I FROM [OPTION...]   makes a token at node FROM and lets node I join by it
#   member_end I SIGNAL          ends it with a signal and waits for it
#   member_wipe I                removes its data
#   mk I ARGS                    kubectl against node I
#   mkatena I ARGS               katena ARGS, asking node I
#   members_finish               ends all, removes their data

MEMBER_PORT=${MEMBER_PORT:-$((E2E_PORT + 20))}

member_dir() { echo "$TEST_DIR/member-$1"; }
member_log() { echo "$TEST_DIR/member-$1.log"; }
member_pid() { cat "$TEST_DIR/member-$1.pid" 2>/dev/null; }

member_running() {
    local pid
    pid=$(member_pid "$1") && pid_running "$pid"
}

member_spawn() {
    local i=$1
    shift
    "$KATENA" server --data-dir "$(member_dir "$i")" --node-name "member-$i" --bind-address "127.0.0.$i" \
        --https-listen-port "$MEMBER_PORT" --peer-port "$((MEMBER_PORT + 1))" --control-plane-only "$@" \
        >>"$(member_log "$i")" 2>&1 &
    echo $! >"$TEST_DIR/member-$i.pid"
}

member_ready() {
    curl -ksf -m 2 -o /dev/null "https://127.0.0.$1:$MEMBER_PORT/readyz"
}

member_start() {
    local i=$1 _
    member_spawn "$@"
    for _ in $(seq 400); do
        if member_ready "$i"; then return 0; fi
        member_running "$i" || break
        sleep 0.05
    done
    tail -30 "$(member_log "$i")"
    fail "member $i does not become ready"
}

member_token() {
    local i=$1
    shift
    mkatena "$i" token create "$@" | tail -1
}

member_join() {
    local i=$1 from=$2
    shift 2
    member_start "$i" --join "https://127.0.0.$from:$MEMBER_PORT" --token "$(member_token "$from")" "$@"
}

member_end() {
    local _
    kill "-$2" "$(member_pid "$1")" 2>/dev/null
    for _ in $(seq 200); do member_running "$1" || return 0; sleep 0.05; done
    fail "member $1 does not end"
}

member_wipe() {
    rm -rf --one-file-system "$(member_dir "$1")"
}

mk() {
    local i=$1
    shift
    "$KUBECTL" --kubeconfig "$(member_dir "$i")/kubeconfig" "$@"
}

mkatena() {
    local i=$1
    shift
    "$KATENA" "$@" --data-dir "$(member_dir "$i")"
}

members_finish() {
    local file
    for file in "$TEST_DIR"/member-*.pid; do
        [ -e "$file" ] || continue
        kill -TERM "$(cat "$file")" 2>/dev/null || true
    done
    wait
}

# run_test NAME: runs one test file with errexit, in a namespace of its own.
run_test() {
    set -e
    NS=t-$1
    "$KUBECTL" create namespace "$NS" >/dev/null
    TEST_DIR=$E2E_DIR/work-$1
    mkdir -p "$TEST_DIR"
    cd "$TEST_DIR"
    # shellcheck disable=SC1090
    . "$ROOT/e2e/tests/$1.sh"
    "$KUBECTL" delete namespace "$NS" --wait=false >/dev/null
}

# k ARGS: kubectl in the test's namespace.
k() {
    "$KUBECTL" -n "$NS" "$@"
}

fail() {
    echo "CHECK FAILED (line ${BASH_LINENO[1]:-?}): $*"
    exit 1
}

# check_equal GOT WANTED
check_equal() {
    [ "$1" = "$2" ] || fail "wanted: $2
got:    $1"
}

# check_contains TEXT PART
check_contains() {
    case $1 in *"$2"*) ;; *) fail "wanted it to contain: $2
got: $1" ;; esac
}

check_lacks() {
    case $1 in *"$2"*) fail "wanted it not to contain: $2
got: $1" ;; esac
}

# check_fails EXPECTED_TEXT COMMAND...: the command fails, and says so.
check_fails() {
    local expected=$1 output
    shift
    if output=$("$@" 2>&1); then fail "this should have failed: $*
it printed: $output"; fi
    check_contains "$output" "$expected"
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || fail "this did not come true in time: $*"
        sleep 0.1
    done
}

# wait_equal SECONDS WANTED COMMAND...: until the command prints exactly WANTED.
wait_equal() {
    local deadline=$((SECONDS + $1)) wanted=$2 got
    shift 2
    until got=$("$@" 2>&1) && [ "$got" = "$wanted" ]; do
        [ $SECONDS -lt $deadline ] || fail "not in time: $*
wanted: $wanted
got:    $got"
        sleep 0.1
    done
}
