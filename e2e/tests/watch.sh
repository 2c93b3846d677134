# get -w sees every change in order; wait returns when a condition holds.
k create configmap first
k get configmaps -w --output-watch-events >events.txt 2>&1 &
watcher=$!
wait_for 5 grep -q first events.txt
k create configmap second --from-literal=a=1
k patch configmap second --type merge -p '{"data":{"a":"2"}}'
k delete configmap second
wait_for 5 grep -q DELETED events.txt
kill $watcher
check_equal "$(awk '$2 == "second" {print $1}' events.txt | tr '\n' ' ')" "ADDED MODIFIED DELETED "
k wait --for=create configmap/first --timeout=5s
(sleep 0.5; k delete configmap first) &
k wait --for=delete configmap/first --timeout=10s
