# What clients ask before they ask for anything: discovery, OpenAPI, explain, version, cluster-info.
resources=$(k api-resources)
for name in pods services deployments replicasets configmaps secrets leases endpointslices rolebindings; do
    check_contains "$resources" "$name"
done
versions=$(k api-versions)
check_contains "$versions" "apps/v1"
check_contains "$versions" "rbac.authorization.k8s.io/v1"
check_contains "$(k version)" "Server Version: v1.35"
check_contains "$(k cluster-info)" "Kubernetes control plane"
check_contains "$(k explain deployment.spec.replicas)" "replicas <integer>"
check_contains "$(k explain pod.spec.containers)" "FIELDS:"
check_fails 'unknown field "spec.replica"' k create --validate=strict -f - <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: typo}
spec:
  replica: 1
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}
Y
check_fails 'spec.replicas: Invalid value: -1: must be greater than or equal to 0' k create deployment bad --image=x --replicas=-1
