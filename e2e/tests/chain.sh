# The history of the cluster: log, show, blame, verify, prove; in the node's data, and over its API.
chain() { "$KATENA" chain "$@" --data-dir "$DATA_DIR"; }
k create configmap told --from-literal=word=one
k patch configmap told --type merge -p '{"data":{"word":"two"}}'
log=$(chain log configmaps/told -n "$NS")
check_contains "$log" "system:admin"
check_contains "$log" "told"
check_contains "$(chain status)" "height"
blame=$(chain blame configmaps/told -n "$NS")
check_contains "$blame" "word"
id=$(chain log configmaps/told -n "$NS" --oneline | head -1 | awk '{print $1}')
check_contains "$(chain show "$id")" "told"
chain prove "$id" -o proof.json
"$KATENA" chain verify --proof proof.json
sed 's/[0-9a-f]\{8\}"/00000000"/' proof.json >forged.json
if "$KATENA" chain verify --proof forged.json; then fail "a forged proof was accepted"; fi
chain verify

# By KUBECONFIG the same words come from the node.
remote() { "$KATENA" chain "$@"; }
check_equal "$(remote log configmaps/told -n "$NS")" "$log"
check_equal "$(remote log configmaps/told -n "$NS" --oneline --limit 1)" "$(chain log configmaps/told -n "$NS" --oneline --limit 1)"
check_equal "$(remote blame configmaps/told -n "$NS")" "$blame"
check_equal "$(remote show "$id")" "$(chain show "$id")"
check_equal "$(remote conflicts)" "$(chain conflicts)"
k create -f - <<CONFLICT
apiVersion: katena.io/v1alpha1
kind: Conflict
metadata: {name: told}
object: {apiVersion: v1, kind: ConfigMap, namespace: $NS, name: told}
transaction: "$id"
user: somebody
verb: patch
time: "2026-01-02T03:04:05.000000Z"
outcome: Merged
losses: [{path: .data.word, winner: '"two"', loser: '"three"'}]
CONFLICT
check_contains "$(k get conflicts)" "somebody"
check_contains "$(remote conflicts -n "$NS")" 'lost   "three"'
check_contains "$(chain conflicts -A -o json)" '"user": "somebody"'
check_equal "$(remote conflicts -n "$NS" -o json)" "$(chain conflicts -n "$NS" -o json)"
check_contains "$(remote conflicts -n kube-public)" "No conflicts"
k delete conflict told
check_contains "$(remote status)" "height"
check_contains "$(remote verify)" "hold, checked in"
remote prove "$id" -o remote.json
cmp proof.json remote.json
"$KATENA" chain verify --proof remote.json
check_equal "$(KUBECONFIG=/dev/null remote show "$id" --kubeconfig "$DATA_DIR/kubeconfig")" "$(chain show "$id")"
check_fails "the chain has no transaction or block ffff0000ffff" remote show ffff0000ffff
check_fails 'there is no configmaps "none"' remote blame configmaps/none
check_fails "there is no kubeconfig at /nowhere" env KUBECONFIG=/nowhere "$KATENA" chain status
sed 's|server: .*|server: https://127.0.0.1:1|' "$KUBECONFIG" >nobody.yaml
check_fails "Is the node running?" remote status --kubeconfig nobody.yaml

# Only what reads gets through, and only for those who may.
path=/katena/v1/chain
check_contains "$(k get --raw /)" "\"$path\""
check_contains "$(k get --raw $path)" "$path/blame"
check_fails 'unknown command "chain rm"' k get --raw $path/rm
check_fails 'unknown option "output" of "chain prove"' k get --raw "$path/prove?arg=$id&output=/tmp/x"
check_fails 'unknown option "data-dir" of "chain log"' k get --raw "$path/log?data-dir=/etc"
check_fails 'User "nobody" cannot get path "/katena/v1/chain/log"' k get --raw $path/log --as=nobody
server=$(k config view --minify -o 'jsonpath={.clusters[0].cluster.server}')
check_equal "$(curl -ks -o /dev/null -w '%{http_code}' "$server$path/log")" 401

k create serviceaccount historian
token=$(k create token historian)
cat >historian.yaml <<CONFIG
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "$server", insecure-skip-tls-verify: true}}]
users: [{name: it, user: {token: "$token"}}]
CONFIG
check_fails "system:serviceaccount:$NS:historian\" cannot get path" remote status --kubeconfig historian.yaml
k create clusterrole e2e-historian --verb=get --non-resource-url="$path/*"
k create clusterrolebinding e2e-historian --clusterrole=e2e-historian --serviceaccount="$NS:historian"
check_contains "$(remote status --kubeconfig historian.yaml)" "height"
k delete clusterrole,clusterrolebinding e2e-historian

# A client that goes away takes its process along; nothing stays behind.
for _ in 1 2 3 4 5 6; do
    curl -ks --max-time 0.01 -H "Authorization: Bearer $token" "$server$path/verify" >/dev/null || true
    timeout 0.05 "$KATENA" chain verify >/dev/null || true
done
no_children() { ! pgrep -P "$(node_pid)" -f -- '--served' >/dev/null; }
wait_for 10 no_children
