# Deletion: cascades by owner references, orphaning, foreground, namespaces with all they hold.
k create deployment web --image=katena.local/nginx:1 --replicas=1
wait_for 20 sh -c "$KUBECTL -n $NS get replicasets -o name | grep -q ."
k delete deployment web --cascade=orphan
sleep 1
rs=$(k get replicasets -o name)
check_contains "$rs" "replicaset.apps/web-"
check_equal "$(k get "$rs" -o 'jsonpath={.metadata.ownerReferences}')" ""
k delete "$rs" --cascade=foreground
check_equal "$(k get replicasets -o name)" ""
wait_equal 60 "" k get pods -o name
"$KUBECTL" create namespace "$NS-gone"
"$KUBECTL" -n "$NS-gone" create configmap a
"$KUBECTL" -n "$NS-gone" create deployment web --image=katena.local/nginx:1
"$KUBECTL" -n "$NS-gone" rollout status deployment/web --timeout=60s
"$KUBECTL" delete namespace "$NS-gone" --timeout=60s
check_fails "not found" "$KUBECTL" get namespace "$NS-gone"
check_equal "$("$KUBECTL" get configmaps,deployments,pods -A -o name | grep -c "$NS-gone" || true)" 0
