# The verbs of kubectl that the other tests do not use.
k create configmap e --from-literal=a=1
printf '#!/bin/sh\nsed -i "s/a: .1./a: \\"9\\"/" "$1"\n' >editor && chmod +x editor
EDITOR=$PWD/editor k edit configmap e
check_equal "$(k get configmap e -o 'jsonpath={.data.a}')" 9
check_contains "$(k describe configmap e)" "9"

k create serviceaccount sa
k create secret generic s --from-literal=p=q
check_contains "$(k describe secret s)" "p:  1 bytes"
check_contains "$(k get secret s)" "Opaque"
k create role r --verb=get --resource=pods
k create rolebinding rb --role=r --user=jane
check_contains "$(k describe rolebinding rb)" "jane"
check_equal "$(k auth can-i get pods --as=jane)" yes
check_contains "$(k auth can-i --list --as=jane)" "pods"
"$KUBECTL" create clusterrole "$NS" --verb=list --resource=nodes
"$KUBECTL" create clusterrolebinding "$NS" --clusterrole="$NS" --group=crew
check_equal "$(k auth can-i list nodes --as=x --as-group=crew 2>/dev/null)" yes
"$KUBECTL" delete clusterrole,clusterrolebinding "$NS"

check_contains "$("$KUBECTL" get nodes -o wide)" "containerd://"
check_contains "$("$KUBECTL" describe nodes)" "Allocatable:"
node=$("$KUBECTL" get nodes -o 'jsonpath={.items[0].metadata.name}')
"$KUBECTL" cordon "$node"
check_contains "$("$KUBECTL" get nodes)" "SchedulingDisabled"
k run later --image=katena.local/busybox:1 --restart=Never --command -- true
wait_for 10 sh -c "$KUBECTL -n $NS describe pod later | grep -q 'were unschedulable'"
"$KUBECTL" uncordon "$node"
wait_equal 30 Succeeded k get pod later -o 'jsonpath={.status.phase}'
check_contains "$(k get pod later)" "Completed"

k create deployment d --image=katena.local/nginx:1 --replicas=0
k annotate deployment d kubernetes.io/change-cause="first"
check_contains "$(k rollout history deployment/d)" "first"
k expose deployment d --port=80 --type=NodePort
check_contains "$(k get service d)" "NodePort"
port=$(k get service d -o 'jsonpath={.spec.ports[0].nodePort}')
[ "$port" -ge 30000 ] && [ "$port" -le 32767 ] || fail "node port $port"
check_contains "$(k describe service d)" "NodePort:"
k set image deployment/d nginx=katena.local/busybox:1
check_equal "$(k get deployment d -o 'jsonpath={.spec.template.spec.containers[0].image}')" katena.local/busybox:1
k label deployment d app- tier=x
check_equal "$(k get deployment d -o 'jsonpath={.metadata.labels}')" '{"tier":"x"}'
check_contains "$(k get all)" "deployment.apps/d"
k delete all --all
check_equal "$(k get deployments,services -o name)" ""
check_contains "$("$KUBECTL" get --raw /)" "/apis/apps/v1"
check_contains "$("$KUBECTL" get events -A)" "REASON"
"$KUBECTL" get leases -A
check_contains "$("$KUBECTL" get namespaces)" "kube-system"
