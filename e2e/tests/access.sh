# Authentication, RBAC, impersonation, the reviews, service account tokens.
check_contains "$(k auth whoami)" "system:admin"
check_equal "$(k auth can-i create pods)" yes
check_equal "$(k auth can-i create pods --as=nobody || true)" no
check_fails 'User "nobody" cannot list resource "pods" in API group ""' k get pods --as=nobody
k create serviceaccount robot
k create role reader --verb=get,list --resource=configmaps
k create rolebinding robot-reads --role=reader --serviceaccount="$NS:robot"
check_equal "$(k auth can-i list configmaps --as="system:serviceaccount:$NS:robot")" yes
token=$(k create token robot)
server=$(k config view --minify -o 'jsonpath={.clusters[0].cluster.server}')
asrobot() { "$KUBECTL" --kubeconfig /dev/null --server "$server" --insecure-skip-tls-verify --token "$token" -n "$NS" "$@"; }
check_contains "$(asrobot get configmaps)" "kube-root-ca.crt"
check_fails 'cannot list resource "secrets"' asrobot get secrets
check_equal "$(curl -ks -o /dev/null -w '%{http_code}' "$server/api/v1/namespaces")" 401
check_equal "$(curl -ks -o /dev/null -w '%{http_code}' "$server/version")" 200
check_equal "$(curl -ks -o /dev/null -w '%{http_code}' "$server/healthz")" 200

host=${server#https://}
check_contains "$(openssl s_client -connect "$host" -tls1_3 </dev/null 2>&1)" "TLSv1.3"
if openssl s_client -connect "$host" -tls1_2 </dev/null >/dev/null 2>&1; then fail "TLS 1.2 was accepted"; fi

k create secret generic hush --from-literal=word=correct-horse-battery-staple
check_equal "$(k get secret hush -o 'jsonpath={.data.word}' | base64 -d)" correct-horse-battery-staple
k run keeper --image=katena.local/busybox:1 --restart=Never --overrides='{"spec":{"volumes":[{"name":"s","secret":{"secretName":"hush"}}],"containers":[{"name":"keeper","image":"katena.local/busybox:1","command":["sh","-c","wc -c /s/word; sleep 300"],"volumeMounts":[{"name":"s","mountPath":"/s"}]}]}}'
k wait --for=condition=Ready pod/keeper --timeout=60s
check_contains "$(k logs keeper)" "28 /s/word"
k create -f - <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: teller}
spec:
  restartPolicy: Never
  containers:
  - name: teller
    image: katena.local/busybox:1
    command: ["sh", "-c", "[ \"$1\" = \"$WORD\" ] && echo \"$word\" | wc -c; echo plain $PLAIN; sleep 300", "sh", "$(WORD)"]
    env:
    - {name: WORD, valueFrom: {secretKeyRef: {name: hush, key: word}}}
    - {name: PLAIN, value: "text of ${HOSTNAME}"}
    envFrom:
    - secretRef: {name: hush}
YAML
k wait --for=condition=Ready pod/teller --timeout=60s
check_contains "$(k logs teller)" "29"
check_contains "$(k logs teller)" "plain text of"
check_equal "$(k exec teller -- sh -c 'echo $WORD')" correct-horse-battery-staple
sleep 6 # a checkpoint has written the database
# Everything on this disk: what is mounted below it (tmpfs) is not.
found=$(find "$DATA_DIR" -xdev -type f -print0 | xargs -0 grep -la -e correct-horse-battery-staple -e "$(printf correct-horse-battery-staple | base64)" || true)
check_equal "$found" ""
k delete pod keeper teller --grace-period=1
