# Client-side and server-side apply, diff, conflicts and force.
cat >d.yaml <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: katena.local/nginx:1, env: [{name: A, value: "1"}, {name: B, value: "2"}]}
Y
check_contains "$(k apply -f d.yaml)" "deployment.apps/web created"
check_contains "$(k apply -f d.yaml)" "unchanged"
sed -i 's/value: "2"/value: "3"/' d.yaml
check_contains "$(k diff -f d.yaml || true)" '+          value: "3"'
check_contains "$(k apply -f d.yaml)" "configured"
check_equal "$(k get deploy web -o 'jsonpath={.spec.template.spec.containers[0].env[*].value}')" "1 3"
sed -i 's/, {name: B, value: "3"}//' d.yaml
k apply -f d.yaml
check_equal "$(k get deploy web -o 'jsonpath={.spec.template.spec.containers[0].env[*].name}')" "A"

cat >c.yaml <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: shared}
data: {a: "1", b: "1"}
Y
check_contains "$(k apply --server-side --field-manager=one -f c.yaml)" "serverside-applied"
check_contains "$(k get configmap shared -o yaml --show-managed-fields)" "manager: one"
sed 's/a: "1", b: "1"/a: "2"/' c.yaml >c2.yaml
check_fails 'conflict with "one"' k apply --server-side --field-manager=two -f c2.yaml
k apply --server-side --field-manager=two --force-conflicts -f c2.yaml
check_equal "$(k get configmap shared -o 'jsonpath={.data.a} {.data.b}')" "2 1"
# Field b is dropped by its only owner, so it goes; a now belongs to two.
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {}\n' | k apply --server-side --field-manager=one -f -
check_equal "$(k get configmap shared -o 'jsonpath={.data}')" '{"a":"2"}'
