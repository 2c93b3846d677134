# Node selectors, affinity, taints: an unschedulable pod says why, in Kubernetes' words.
node=$("$KUBECTL" get nodes -o 'jsonpath={.items[0].metadata.name}')
pod() { printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{%s"containers":[{"name":"c","image":"katena.local/busybox:1","command":["sleep","60"]}],"terminationGracePeriodSeconds":0}}' "$1" "$2" | k apply -f -; }
why() { k get pod "$1" -o 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}'; }
pod select '"nodeSelector":{"disk":"fast"},'
waits() { case $(why "$1") in *"$2"*) ;; *) return 1 ;; esac; }
wait_for 10 waits select "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
"$KUBECTL" label node "$node" disk=fast
k wait --for=condition=Ready pod/select --timeout=30s
"$KUBECTL" label node "$node" disk-
"$KUBECTL" taint node "$node" keep=out:NoSchedule
pod tainted ''
wait_for 10 waits tainted "untolerated taint"
pod tolerant '"tolerations":[{"key":"keep","operator":"Exists"}],'
k wait --for=condition=Ready pod/tolerant --timeout=30s
"$KUBECTL" taint node "$node" keep-
k wait --for=condition=Ready pod/tainted --timeout=30s
pod affine '"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":["'"$node"'"]}]}]}}},'
k wait --for=condition=Ready pod/affine --timeout=30s
k delete pods --all --grace-period=0 --force
