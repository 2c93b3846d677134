# Pods: init containers, environment, volumes, restart with back-off, logs, exec, describe, events.
k create configmap conf --from-literal=key=from-config
k create secret generic cred --from-literal=pass=hidden
cat >pod.yaml <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: full, labels: {role: test}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  initContainers:
    - {name: init, image: "katena.local/busybox:1", command: [sh, -c, "echo prepared > /work/file"], volumeMounts: [{name: work, mountPath: /work}]}
  containers:
    - name: main
      image: katena.local/busybox:1
      command: [sh, -c, 'echo start; cat /work/file; echo $PLAIN $CONF $PASS $NAME; cat /conf/key; echo; cat /cred/pass; echo; sleep 300']
      env:
        - {name: PLAIN, value: plain}
        - {name: CONF, valueFrom: {configMapKeyRef: {name: conf, key: key}}}
        - {name: PASS, valueFrom: {secretKeyRef: {name: cred, key: pass}}}
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      volumeMounts:
        - {name: work, mountPath: /work}
        - {name: conf, mountPath: /conf}
        - {name: cred, mountPath: /cred}
  volumes:
    - {name: work, emptyDir: {}}
    - {name: conf, configMap: {name: conf}}
    - {name: cred, secret: {secretName: cred}}
Y
k apply -f pod.yaml
k wait --for=condition=Ready pod/full --timeout=60s
wait_equal 10 "start
prepared
plain from-config hidden full
from-config
hidden" k logs full -c main
check_equal "$(k logs full -c main --tail=1)" hidden
check_equal "$(k exec full -- sh -c 'echo $NAME')" full
check_equal "$(echo through stdin | k exec -i full -- cat)" "through stdin"
status=0; k exec full -- sh -c 'exit 7' || status=$?
check_equal "$status" 7
check_contains "$(k exec full -- cat /var/run/secrets/kubernetes.io/serviceaccount/namespace)" "$NS"
description=$(k describe pod full)
check_contains "$description" "Successfully assigned $NS/full"
check_contains "$description" "Started"
check_contains "$(k get pod full -o wide)" "Running"
check_contains "$(k events)" "Scheduled"

k run crash --image=katena.local/busybox:1 --command -- sh -c 'echo once; exit 3'
wait_for 60 sh -c "$KUBECTL -n $NS get pod crash | grep -q CrashLoopBackOff"
check_equal "$(k logs crash --previous)" once
check_equal "$(k get pod crash -o 'jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}')" 3

k run greedy --image=katena.local/busybox:1 --overrides='{"spec":{"containers":[{"name":"greedy","image":"katena.local/busybox:1","resources":{"requests":{"cpu":"1000"}}}]}}'
wait_for 10 sh -c "$KUBECTL -n $NS describe pod greedy | grep -q '1 Insufficient cpu'"
check_contains "$(k get pod greedy)" "Pending"

k delete pod greedy --force --grace-period=0
k delete pod crash full --grace-period=1
check_fails "not found" k get pod full
