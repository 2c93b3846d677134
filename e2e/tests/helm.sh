# Helm 4, with a chart of its own: install, upgrade, history, rollback, uninstall.
mkdir -p chart/templates
printf 'apiVersion: v2\nname: demo\nversion: 0.1.0\n' >chart/Chart.yaml
printf 'replicas: 1\n' >chart/values.yaml
cat >chart/templates/all.yaml <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: web, image: "katena.local/nginx:1", ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: {{ .Release.Name }}}, ports: [{port: 80}]}
Y
export HELM_CACHE_HOME=$TEST_DIR/h HELM_CONFIG_HOME=$TEST_DIR/h HELM_DATA_HOME=$TEST_DIR/h
h() { "$HELM" -n "$NS" "$@"; }
h install demo ./chart --wait --timeout 90s
check_contains "$(h list)" "deployed"
h upgrade demo ./chart --set replicas=2 --wait --timeout 90s
check_equal "$(k get deployment demo -o 'jsonpath={.spec.replicas}')" 2
h rollback demo 1 --wait --timeout 90s
check_equal "$(k get deployment demo -o 'jsonpath={.spec.replicas}')" 1
check_contains "$(h history demo)" "Rollback to 1"
h uninstall demo --wait --timeout 90s
check_equal "$(k get deployments,services -o name)" ""
