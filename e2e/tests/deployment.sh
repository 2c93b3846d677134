# A Deployment's whole life: pods run, scale, rolling update, history, undo, restart, pause, delete.
k create deployment web --image=katena.local/nginx:1 --replicas=2 --port=80
k rollout status deployment/web --timeout=60s
wait_equal 30 2 k get deployment web -o 'jsonpath={.status.readyReplicas}'
table=$(k get deployment web)
check_contains "$table" "READY"
check_contains "$table" "2/2"
check_contains "$(k get pods -l app=web)" "1/1     Running"
k scale deployment/web --replicas=3
wait_equal 60 3 k get deployment web -o 'jsonpath={.status.readyReplicas}'

k set env deployment/web COLOR=green
k rollout status deployment/web --timeout=90s
# Old pods are listed until they have ended.
wait_equal 30 "green green green" k get pods -l app=web -o 'jsonpath={.items[*].spec.containers[0].env[0].value}'
check_contains "$(k rollout history deployment/web)" "2"
k rollout undo deployment/web
k rollout status deployment/web --timeout=90s
check_equal "$(k get deployment web -o 'jsonpath={.spec.template.spec.containers[0].env}')" ""
k rollout pause deployment/web
k set image deployment/web nginx=katena.local/busybox:1
sleep 1
check_equal "$(k get deployment web -o 'jsonpath={.status.updatedReplicas}')" ""
k set image deployment/web nginx=katena.local/nginx:1
k rollout resume deployment/web
k rollout restart deployment/web
k rollout status deployment/web --timeout=90s
k delete deployment web
wait_equal 60 "" k get pods,replicasets -o name
