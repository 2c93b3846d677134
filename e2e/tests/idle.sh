# Nodes with nothing to do write nothing to disk, alone or in a cluster: some ten seconds in a row without a byte.
trap members_finish EXIT
member_start 1
for i in 2 3; do member_join $i 1; done
mk 3 create configmap before >/dev/null
written() {
    local pid
    for pid in "$(node_pid)" "$(member_pid 1)" "$(member_pid 2)" "$(member_pid 3)"; do
        awk '/^write_bytes/ {print $2}' "/proc/$pid/io"
    done
}
quiet() {
    local before
    before=$(written)
    sleep 10
    [ "$(written)" = "$before" ]
}
wait_for 120 quiet
check_equal "$(written | grep -c .)" 4
