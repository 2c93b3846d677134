# A node with nothing to do writes nothing to disk: some ten seconds in a row without a byte.
written() { awk '/^write_bytes/ {print $2}' "/proc/$(node_pid)/io"; }
quiet() {
    local before
    before=$(written)
    sleep 10
    [ "$(written)" = "$before" ]
}
wait_for 120 quiet
