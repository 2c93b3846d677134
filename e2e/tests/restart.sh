# A restart of katena, orderly or by kill -9, never restarts a pod, and loses no answered write.
k create deployment steady --image=katena.local/nginx:1 --replicas=2
k rollout status deployment/steady --timeout=60s
ids() { k get pods -l app=steady -o 'jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort; }
before=$(ids)
for signal in TERM KILL; do
    name=before-$(echo $signal | tr A-Z a-z)
    k create configmap "$name"
    node_end $signal
    node_start
    check_equal "$(k get configmap "$name" -o name)" "configmap/$name"
    sleep 2
    check_equal "$(ids)" "$before"
done
wait_equal 20 2 k get deployment steady -o 'jsonpath={.status.readyReplicas}'
k delete deployment steady
wait_equal 60 "" k get pods -o name
