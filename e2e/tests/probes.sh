# Probes and hooks decide readiness and restarts; resources reach the cgroup; configuration is updated live.
k create configmap live --from-literal=word=old
cat >p.yaml <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: probed}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: katena.local/busybox:1
      command: [sh, -c, "touch /tmp/alive; sleep 300"]
      resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 200m, memory: 32Mi}}
      livenessProbe: {exec: {command: [cat, /tmp/alive]}, periodSeconds: 1, failureThreshold: 2}
      readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}
      volumeMounts: [{name: live, mountPath: /live}]
  volumes: [{name: live, configMap: {name: live}}]
Y
k apply -f p.yaml
wait_equal 30 Running k get pod probed -o 'jsonpath={.status.phase}'
check_equal "$(k get pod probed -o 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}')" ContainersNotReady
k exec probed -- touch /tmp/ready
k wait --for=condition=Ready pod/probed --timeout=15s
check_equal "$(k get pod probed -o 'jsonpath={.status.qosClass}')" Burstable
memory=$(k exec probed -- sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max')
check_equal "$memory" 33554432
check_equal "$(k exec probed -- cat /live/word)" old
k patch configmap live --type merge -p '{"data":{"word":"new"}}'
wait_equal 90 new k exec probed -- cat /live/word
k exec probed -- rm /tmp/alive
wait_equal 30 1 k get pod probed -o 'jsonpath={.status.containerStatuses[0].restartCount}'
check_contains "$(k describe pod probed)" "Liveness probe failed"
k delete pod probed

k run eater --image=katena.local/busybox:1 --restart=Never --overrides='{"spec":{"containers":[{"name":"eater","image":"katena.local/busybox:1","command":["sh","-c","tail /dev/zero"],"resources":{"limits":{"memory":"16Mi"}}}]}}'
wait_equal 30 OOMKilled k get pod eater -o 'jsonpath={.status.containerStatuses[0].state.terminated.reason}'
k run host --image=katena.local/busybox:1 --restart=Never --overrides='{"spec":{"hostNetwork":true,"containers":[{"name":"host","image":"katena.local/busybox:1","command":["sleep","60"]}]}}'
k wait --for=condition=Ready pod/host --timeout=30s
check_equal "$(k get pod host -o 'jsonpath={.status.podIP}')" "$(k get pod host -o 'jsonpath={.status.hostIP}')"
k run nopull --image=registry.invalid/none:1
wait_for 60 sh -c "$KUBECTL -n $NS get pod nopull | grep -qE 'ErrImagePull|ImagePullBackOff'"
k delete pod eater host nopull --grace-period=0 --force

# A container that does not answer in its first moments is neither late for its period nor restarted.
cat >early.yaml <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: early}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: katena.local/busybox:1
      command: [sh, -c, "sleep 0.3; touch /tmp/up; sleep 300"]
      livenessProbe: {exec: {command: [cat, /tmp/up]}, failureThreshold: 1}
      readinessProbe: {exec: {command: [cat, /tmp/up]}, periodSeconds: 30}
Y
k apply -f early.yaml
k wait --for=condition=Ready pod/early --timeout=10s
check_equal "$(k get pod early -o 'jsonpath={.status.containerStatuses[0].restartCount}')" 0
check_lacks "$(k describe pod early)" Unhealthy
