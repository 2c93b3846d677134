# Of two nodes one is lost for good, and nothing becomes final any more: a cluster reset makes the other one the only
# member, with everything that it had, and nodes join anew.
trap members_finish EXIT

acting() { mkatena "$1" node list -o json | jq -r '[.items[] | select(.phase == "Acting" and .live) | .name] | join(" ")'; }
reset() { "$KATENA" server --cluster-reset --data-dir "$(member_dir "$1")" 2>&1; }
# What must not change for anybody: all objects. (A node's conditions change.)
objects() {
    mk "$1" get namespaces,configmaps,secrets,serviceaccounts,clusterroles,clusterrolebindings,nodes -A -o json |
        jq -S '[.items[] | [.kind, .metadata.namespace, .metadata.name, .metadata.uid,
            if .kind == "Node" then "" else .metadata.resourceVersion end]]'
}
# post I BODY QUERY: the status of making a ConfigMap on node I.
post() {
    curl -ks --cert <(mk "$1" config view --raw -o 'jsonpath={.users[0].user.client-certificate-data}' | base64 -d) \
        --key <(mk "$1" config view --raw -o 'jsonpath={.users[0].user.client-key-data}' | base64 -d) \
        -X POST -H 'Content-Type: application/json' -d "$2" -o answer -w '%{http_code}' \
        "https://127.0.0.$1:$MEMBER_PORT/api/v1/namespaces/reset/configmaps?$3"
}
head_rv() { mk "$1" get --raw /api/v1/namespaces/reset/configmaps | jq -r .metadata.resourceVersion; }
too_old() { # I RV
    local said
    said=$(mk "$1" get --raw "/api/v1/namespaces/reset/configmaps?resourceVersion=$2&watch=1&timeoutSeconds=1" 2>&1) || true
    check_contains "$said" "too old resource version: $2"
}

member_start 1
check_fails "is in use by another katena" reset 1
member_join 2 1
wait_equal 20 "member-1 member-2" acting 1
mk 1 create namespace reset
mk 1 -n reset create configmap kept --from-literal=a=1
first_rv=$(head_rv 1)
mk 2 -n reset create configmap by-second --from-literal=b=2
mk 1 -n reset create secret generic sealed --from-literal=password=opensesame
mk 1 -n reset create serviceaccount robot
mk 1 create clusterrolebinding robot --clusterrole=view --serviceaccount=reset:robot
robot=$(mk 1 -n reset create token robot --duration 1h)
mk 1 create -f - <<<'{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "member-2"}}'
mk 1 patch node member-2 --subresource=status --type=merge \
    -p '{"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}}'
token=$(member_token 1)
cp "$(member_dir 1)/kubeconfig" old-kubeconfig
mkatena 1 wait secret/sealed -n reset

echo "one of two is lost for good"
member_end 2 KILL
cp -a "$(member_dir 2)" lost
member_wipe 2
mk 1 -n reset create configmap not-final --from-literal=c=3
check_equal "$(post 1 '{"metadata": {"name": "waits"}}' 'commit=irreversible&commitTimeout=1s')" 504
mkatena 1 node remove member-2 --timeout 2s >removal 2>&1 || true
not_ready() { mk 1 get node member-2 -o json | jq -e '.status.conditions[] | select(.type == "Ready" and .status != "True")'; }
last_rv=$(head_rv 1)
member_end 1 KILL
member_start 1
objects 1 >objects-before
old_chain=$(mkatena 1 chain status | awk '/^chain:/ {print $2}')

echo "the reset"
check_fails "is in use by another katena" reset 1
check_fails "there is no data directory" "$KATENA" server --cluster-reset --data-dir "$TEST_DIR/nothing"
check_fails "exclude each other" "$KATENA" server --cluster-reset --join https://127.0.0.1 --data-dir "$(member_dir 1)"
mkdir empty
check_fails "there is no chain" "$KATENA" server --cluster-reset --data-dir empty
check_equal "$(ls empty)" ""
member_end 1 KILL
said=$(reset 1) || fail "the reset failed: $said"
echo "$said"
check_contains "$said" "member-1 is its only member"
check_contains "$said" "  member-2 (127.0.0.2:$((MEMBER_PORT + 1)))"
check_contains "$said" "$old_chain"
check_contains "$said" "$(member_dir 1)/chain.before-reset-1"
"$KATENA" chain verify --data-dir "$(member_dir 1)" | tee verified
check_contains "$(cat verified)" "a cluster reset carried over"
mkdir old && cp -a "$(member_dir 1)/chain.before-reset-1" old/chain
check_contains "$("$KATENA" chain status --data-dir old)" "$old_chain"
check_fails "the only member" reset 1

echo "it goes on, alone"
member_start 1
check_equal "$(acting 1)" member-1
objects 1 >objects-after
diff objects-before objects-after || fail "objects are not what they were"
check_equal "$("$KUBECTL" --kubeconfig old-kubeconfig -n reset get secret sealed -o 'jsonpath={.data.password}' | base64 -d)" opensesame
check_equal "$(mk 1 -n reset get configmap by-second not-final -o 'jsonpath={.items[*].data}')" '{"b":"2"} {"c":"3"}'
check_equal "$(curl -ks -H "Authorization: Bearer $robot" "https://127.0.0.1:$MEMBER_PORT/api/v1/namespaces/reset/configmaps/kept" | jq -r .data.a)" 1
[ "$(head_rv 1)" -gt "$last_rv" ] || fail "resourceVersions went back: $(head_rv 1), and $last_rv before"
said=$(mkatena 1 wait configmap/by-second -n reset --timeout 5s)
check_contains "$said" irreversible
check_contains "$(mkatena 1 chain blame configmap/by-second -n reset)" "only its state is kept"
too_old 1 "$first_rv"
too_old 1 "$last_rv"
new_rv=$(head_rv 1)
check_equal "$(post 1 '{"metadata": {"name": "final"}}' 'commit=irreversible&commitTimeout=10s')" 201
mk 1 -n reset patch configmap kept --type merge -p '{"data": {"a": "2"}}'
mkatena 1 wait configmap/kept -n reset
watched=$(mk 1 get --raw "/api/v1/namespaces/reset/configmaps?resourceVersion=$new_rv&watch=1&timeoutSeconds=1")
check_equal "$(jq -r '"\(.type) \(.object.metadata.name)"' <<<"$watched" | tr '\n' ' ')" "ADDED final MODIFIED kept "
wait_for 30 not_ready
check_contains "$(mkatena 1 chain log | tail -5)" "katena.io"

echo "what was dropped is refused with its old data"
mv lost "$(member_dir 2)"
member_spawn 2
wait_for 20 grep -q 'is of another cluster: it has chain' "$(member_log 1)"
wait_for 20 member_ready 2
check_equal "$(acting 1)" member-1
check_contains "$(mkatena 2 node list -o json)" "it is of another cluster"
grep 'it is of another cluster' "$(member_log 2)" >/dev/null || fail "member 2 does not say why: $(tail "$(member_log 2)")"
mk 2 create namespace elsewhere # its own chain goes on; nothing of it comes here
sleep 1
check_fails "not found" mk 1 get namespace elsewhere
member_end 2 TERM

echo "a node joins, by a token of before"
member_wipe 2
member_start 2 --join "https://127.0.0.1:$MEMBER_PORT" --token "$token"
wait_equal 20 "member-1 member-2" acting 2
objects 2 >objects-joined
objects 1 | diff - objects-joined || fail "the node that joined has other objects"
mk 2 -n reset create configmap by-joined
mkatena 2 wait configmap/by-joined -n reset
member_end 1 TERM
member_start 1
wait_equal 20 "member-1 member-2" acting 1
for i in 1 2; do mkatena $i chain verify; done

echo "and the first is lost: the one that joined is reset"
member_end 1 KILL
member_wipe 1
member_end 2 TERM
said=$(reset 2) || fail "the reset failed: $said"
check_contains "$said" "member-2 is its only member"
member_start 2
check_equal "$(mk 2 -n reset get configmap kept -o 'jsonpath={.data.a}')" 2
member_join 1 2
wait_equal 20 "member-1 member-2" acting 1
check_equal "$(mk 1 -n reset get configmap by-second -o 'jsonpath={.data.b}')" 2
for i in 1 2; do mkatena $i chain verify; done
