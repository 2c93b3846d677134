# The basics with Debian's own kubectl 1.20.
k20() { "$TOOLS/kubectl-1.20" -n "$NS" --cache-dir="$TEST_DIR/cache" "$@"; }
k20 create configmap old --from-literal=a=b
check_contains "$(k20 get configmaps)" "old"
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {x: "1"}\n' >c.yaml
check_contains "$(k20 apply -f c.yaml)" "configmap/applied created"
check_contains "$(k20 apply -f c.yaml)" "unchanged"
k20 create deployment web --image=katena.local/nginx:1
k20 rollout status deployment/web --timeout=60s
check_contains "$(k20 get pods -o wide)" "Running"
pod=$(k20 get pods -l app=web -o 'jsonpath={.items[0].metadata.name}')
check_equal "$(k20 exec "$pod" -- echo hello)" hello
check_contains "$(k20 describe deployment web)" "ScalingReplicaSet"
k20 delete deployment web
