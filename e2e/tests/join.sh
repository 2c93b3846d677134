# Nodes join by tokens, all serve the same cluster, none is special; what must not join is told why.
trap members_finish EXIT

# names I: the names of the nodes that node I has in its chain, and whether they are there.
names() { mkatena "$1" node list -o json | jq -r '.items[] | "\(.name) \(.phase) \(.live)"'; }
acting() { mkatena "$1" node list -o json | jq '[.items[] | select(.phase == "Acting" and .live)] | length'; }

# ---- joining ----
member_start 1
check_equal "$(names 1)" "member-1 Acting true"
token=$(member_token 1 --description "for the test")
check_contains "$token" "K1"
check_contains "$(mkatena 1 token list)" "for the test"
mk 1 create configmap before

begin=$(date +%s%N)
member_start 2 --join "https://127.0.0.1:$MEMBER_PORT" --token "$token"
took=$((($(date +%s%N) - begin) / 1000000))
echo "member 2 joined in $took ms"
[ "$took" -lt 8000 ] || fail "joining took $took ms"
# A host that is not there and one that is; the token in a file.
echo "$token" >token
member_start 3 --join "https://127.0.0.9:$MEMBER_PORT,https://127.0.0.2:$MEMBER_PORT" --token-file token
for i in 1 2 3; do wait_equal 20 3 acting $i; done

# ---- any node serves ----
for i in 1 2 3; do mk $i get configmap before; done
mk 2 create configmap by-second --from-literal=a=1
mk 3 create configmap by-third
for i in 1 2 3; do
    wait_for 5 mk $i get configmap by-second by-third
done
rv() { mk "$1" get configmap by-second -o 'jsonpath={.metadata.resourceVersion}'; }
check_equal "$(rv 2)" "$(rv 1)"
check_equal "$(rv 3)" "$(rv 1)"
# A watch on one node sees what another one is told, at once.
mk 3 get configmap --watch-only -o name >watched &
watch=$!
sleep 1
mk 1 create configmap seen
wait_for 3 grep -q configmap/seen watched
kill $watch
check_contains "$(mk 2 get --raw /metrics)" 'katena_validators 3'
check_contains "$(mk 2 get --raw /metrics)" 'katena_peer_up{peer="member-1"} 1'

# ---- how far a change is ----
mkatena 2 wait configmap/by-second
check_contains "$(mkatena 3 chain status configmap/by-second)" irreversible
tx=$(curl -ks --cert <(mk 1 config view --raw -o 'jsonpath={.users[0].user.client-certificate-data}' | base64 -d) \
    --key <(mk 1 config view --raw -o 'jsonpath={.users[0].user.client-key-data}' | base64 -d) \
    -X POST -H 'Content-Type: application/json' -d '{"metadata":{"name":"final"}}' -D - -o answer \
    "https://127.0.0.1:$MEMBER_PORT/api/v1/namespaces/default/configmaps?commit=irreversible&commitTimeout=10s" |
    tr -d '\r' | sed -n 's/^Katena-Tx: //Ip')
check_contains "$(cat answer)" '"final"'
check_contains "$(mkatena 1 chain status "$tx")" irreversible
mk 1 create -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"noted","annotations":{"katena.io/commit":"irreversible"}}}'
check_contains "$(mkatena 1 chain status cm/noted)" irreversible

# ---- who must not join ----
refused() { # TEXT OPTION...
    local text=$1 output
    shift
    if output=$(timeout 30 "$KATENA" server --data-dir "$TEST_DIR/refused" --node-name refused --bind-address 127.0.0.8 \
        --https-listen-port "$MEMBER_PORT" --peer-port "$((MEMBER_PORT + 1))" --control-plane-only "$@" 2>&1); then
        fail "this should have been refused: $*"
    fi
    check_contains "$output" "$text"
    rm -rf "$TEST_DIR/refused"
}
url=https://127.0.0.1:$MEMBER_PORT
refused "needs a token" --join "$url"
refused "katena token create" --join "$url" --token nonsense
other=K1$(printf '%064d' 0)${token:66}
refused "not of the cluster that the token is for" --join "$url" --token "$other"
refused "does not know the token" --join "$url" --token "${token%?????}aaaaa"
refused "another key" --join "$url" --token "$token" --node-name member-2
refused "cannot reach" --join "https://127.0.0.9:$MEMBER_PORT" --token "$token"
short=$(member_token 1 --ttl 1s)
sleep 1.5
refused "expired" --join "$url" --token "$short"
once=$(member_token 2 --single-use)
member_start 4 --join "$url" --token "$once"
refused "another one has used it" --join "$url" --token "$once"
check_fails "belongs to another cluster" "$KATENA" server --data-dir "$DATA_DIR" --join "$url" --token "$token" \
    --control-plane-only --https-listen-port "$MEMBER_PORT"
mkatena 1 token delete "${token:68:6}"
refused "does not know the token" --join "$url" --token "$token"
wait_equal 20 4 acting 1

# ---- a new key ----
key() { mkatena "$1" node list -o json | jq -r '.items[] | select(.name == "member-3") | .key'; }
old=$(key 1)
mkatena 3 node rotate-keys
[ "$(key 1)" != "$old" ] || fail "member-3 still has the key $old"
wait_equal 20 4 acting 1
check_fails "a node changes its own key" mkatena 1 node rotate-keys member-3

# ---- no node is special ----
# Restarted without a flag about joining, it is a member again.
member_end 2 TERM
member_start 2
wait_equal 20 4 acting 2
# One that cannot read its chain gets it from the others.
member_end 2 TERM
for file in "$(member_dir 2)"/chain/data.mdb "$(member_dir 2)"/chain/log-*.seg; do
    dd if=/dev/urandom of="$file" bs=4096 count=4 conv=notrunc status=none
done
member_start 2
check_contains "$(cat "$(member_log 2)")" "is fetched anew from the other nodes"
mk 2 get configmap by-third
wait_equal 20 4 acting 2
# The first is gone for good; the others go on, and take it out.
member_end 1 KILL
member_wipe 1
mk 2 create configmap without-first
for i in 3 4; do wait_for 5 mk $i get configmap without-first; done
mkatena 2 node remove member-1 --timeout 60s
check_lacks "$(names 3)" member-1
mk 3 create configmap after-removal
mkatena 4 wait configmap/after-removal
# One that was removed while it was away is told so, and stays out.
member_end 4 TERM
mkatena 2 node remove member-4
member_spawn 4
removed() { ! member_running 4; }
wait_for 30 removed
check_contains "$(cat "$(member_log 4)")" "was removed from the cluster"
member_wipe 4
member_join 4 3
wait_equal 20 3 acting 4
# One that runs ends when it is removed, also when it was asked to do that itself.
mkatena 4 node remove member-4
wait_for 10 removed
check_contains "$(tail -3 "$(member_log 4)")" "was removed from the cluster"
wait_equal 20 2 acting 3
