# A Service is reached by its cluster IP from the host and from a pod; endpoints follow the pods.
k create deployment web --image=katena.local/nginx:1 --replicas=2 --port=80
k expose deployment web --port=8080 --target-port=80
k rollout status deployment/web --timeout=60s
ip=$(k get service web -o 'jsonpath={.spec.clusterIP}')
wait_for 15 sh -c "$KUBECTL -n $NS get endpoints web | grep -q ':80,'"
wait_for 15 curl -sf --max-time 2 "http://$ip:8080/"
check_contains "$(curl -s "http://$ip:8080/")" "Hello from a pod"
k run client --image=katena.local/busybox:1 --restart=Never --command -- sleep 300
k wait --for=condition=Ready pod/client --timeout=60s
check_contains "$(k exec client -- wget -qO- "http://$ip:8080/")" "Hello from a pod"
check_equal "$(k get endpointslices -l kubernetes.io/service-name=web -o 'jsonpath={.items[0].endpoints[*].conditions.ready}')" "true true"
k scale deployment web --replicas=0
wait_equal 30 "" k get endpointslices -l kubernetes.io/service-name=web -o 'jsonpath={.items[*].endpoints[*].addresses}'
wait_for 10 sh -c "! curl -sf --max-time 1 http://$ip:8080/"
