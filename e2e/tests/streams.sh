# exec with a terminal, logs that follow, attach, port-forward.
k run box --image=katena.local/busybox:1 --restart=Never --command -- sh -c 'i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done'
k wait --for=condition=Ready pod/box --timeout=60s
check_contains "$(script -qec "$KUBECTL -n $NS exec -it box -- sh -c 'tty; stty size'" /dev/null </dev/null)" "/dev/pts/"
timeout 3 "$KUBECTL" -n "$NS" logs -f box >follow.txt || true
[ "$(grep -c '^line' follow.txt)" -ge 10 ] || fail "logs -f gave $(wc -l <follow.txt) lines"
check_equal "$(head -1 follow.txt)" "line 0"
check_contains "$(k logs box --timestamps --tail=1)" "T"
check_equal "$(k logs box --since=1s | grep -c line | awk '{print ($1 > 0 && $1 < 12)}')" 1
k exec box -- sh -c 'head -c 3000000 /dev/zero' >zeros
check_equal "$(stat -c %s zeros)" 3000000
head -c 2000000 /dev/urandom >random
# containerd closes the stdin of a program that has closed its stdout, hence the echo.
k exec -i box -- sh -c 'cat > /tmp/random; echo' <random
check_equal "$(k exec box -- sha256sum /tmp/random | cut -c1-64)" "$(sha256sum random | cut -c1-64)"
k cp random "box:/tmp/copied"
check_equal "$(k exec box -- sha256sum /tmp/copied | cut -c1-64)" "$(sha256sum random | cut -c1-64)"
timeout 2 "$KUBECTL" -n "$NS" attach box >attach.txt 2>/dev/null || true
check_contains "$(cat attach.txt)" "line"
check_fails "container nothere is not valid for pod box" k exec box -c nothere -- true

k run web --image=katena.local/nginx:1
k wait --for=condition=Ready pod/web --timeout=60s
k port-forward pod/web 18080:80 >forward.txt 2>&1 &
forward=$!
wait_for 10 curl -sf http://127.0.0.1:18080/
check_contains "$(curl -s http://127.0.0.1:18080/)" "Hello from a pod"
kill $forward
k delete pod box web --grace-period=1

# What a short command writes is seen, although it may end before kubectl can attach to it.
for i in 1 2 3 4 5; do
    check_contains "$(k run short$i --rm -i --restart=Never --image=katena.local/busybox:1 -- echo "hello $i" 2>/dev/null)" "hello $i"
done
