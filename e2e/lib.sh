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

node_prepare() {
    mkdir -p "$DATA_DIR/images"
    cp "$ROOT"/build/images/*.tar "$DATA_DIR/images/"
}

# Its process id stands in a file, since a test that restarts it runs in a shell of its own.
node_pid() {
    cat "$E2E_DIR/pid" 2>/dev/null
}

node_running() {
    local pid
    pid=$(node_pid) && [ -e "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status"
}

# Starts the node (again, with the same data) and waits until it is ready.
node_start() {
    "$KATENA" server --data-dir "$DATA_DIR" --https-listen-port "$E2E_PORT" \
        --cluster-cidr 10.142.0.0/16 --service-cidr 10.143.0.0/16 \
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
    if [ -n "${KEEP:-}" ]; then
        echo "the node is left running: export KUBECONFIG=$KUBECONFIG (process $(node_pid))"
        return
    fi
    node_end TERM
    "$KATENA" server --cleanup --data-dir "$DATA_DIR" >>"$E2E_DIR/katena.log" 2>&1 || tail -5 "$E2E_DIR/katena.log"
    rm -rf --one-file-system "$E2E_DIR"
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
