# The history of the cluster: log, show, blame, verify, prove.
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
