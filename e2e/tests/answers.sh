# Answers whose words and forms people know.
k create deployment d --image=katena.local/nginx:1
k rollout status deployment/d --timeout=20s
check_equal "$(k get deployment d -o 'jsonpath={.metadata.generation} {.status.observedGeneration}')" "1 1"
check_contains "$(k get deployment d --subresource=scale)" "NAME   DESIRED   AVAILABLE   AGE"
check_contains "$(k get deployment d --subresource=scale)" "d      1         1 "
check_contains "$(k get events)" 'already present on machine and can be accessed by the pod'

# A kind that is not served is told from a broken server.
check_fails 'no matches for kind "Deployment" in version "v1"' k apply -f - <<'EOF'
{"apiVersion":"v1","kind":"Deployment","metadata":{"name":"d"}}
EOF
check_fails 'no matches for kind "Robot" in version "apps/v1"' k create -f - <<'EOF'
{"apiVersion":"apps/v1","kind":"Robot","metadata":{"name":"d"}}
EOF

k create serviceaccount sa
check_fails 'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 1: may not' \
    k create token sa --duration=1s

node=$("$KUBECTL" get nodes -o 'jsonpath={.items[0].metadata.name}')
check_fails 'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid' \
    "$KUBECTL" patch node "$node" --type=merge -p '{"spec":{"podCIDR":"10.9.0.0/24"}}'

# What people read with curl is laid out.
curl() { command curl -sk -H "Authorization: Bearer $(k create token sa)" "https://127.0.0.1:$E2E_PORT$1"; }
k create rolebinding sa --clusterrole=view --serviceaccount="$NS:sa"
check_contains "$(curl "/api/v1/namespaces/$NS/pods")" '
  "items": [
    {
      "kind": "Pod",
      "apiVersion": "v1",
      "metadata": {
        "name": "d-'
check_contains "$(curl "/api/v1/namespaces/$NS/configmaps/kube-root-ca.crt")" '
  "metadata": {
    "name": "kube-root-ca.crt",'
check_lacks "$(curl "/api/v1/namespaces/$NS/configmaps/kube-root-ca.crt?pretty=false")" '
  "metadata"'
check_contains "$(curl /api/v1/namespaces/none/pods/x)" '
  "code": 403'
check_contains "$(curl /version)" '
  "major": "1",'

# A phase is final only when nothing runs any more.
k apply -f - <<'EOF'
apiVersion: v1
kind: Pod
metadata: {name: late}
spec:
  activeDeadlineSeconds: 1
  terminationGracePeriodSeconds: 2
  restartPolicy: Never
  containers: [{name: c, image: "katena.local/busybox:1", command: [sleep, "100"]}]
EOF
k wait --for=jsonpath='{.status.phase}'=Failed pod/late --timeout=20s
check_equal "$(k get pod late -o 'jsonpath={.status.reason} {.status.containerStatuses[0].state.terminated.exitCode}')" \
    "DeadlineExceeded 137"
k run huge --image=katena.local/busybox:1 --overrides='{"spec":{"containers":[{"name":"c","image":"x","resources":
    {"requests":{"cpu":"9999"}}}]}}'
wait_for 10 sh -c "$KUBECTL -n $NS describe pod huge | grep -q '1 Insufficient cpu. no new claims to deallocate, preemption: 0/1'"

# A token may be bound to a node.
token=$(k create token sa --bound-object-kind=Node --bound-object-name="$node")
check_equal "$("$KUBECTL" --kubeconfig=/dev/null --server="https://127.0.0.1:$E2E_PORT" --insecure-skip-tls-verify \
    --token="$token" auth whoami -o 'jsonpath={.status.userInfo.extra.authentication\.kubernetes\.io/node-name[0]}')" "$node"
