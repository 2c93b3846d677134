# A thousand connections, slow and half-closed clients: the node goes on answering.
server=$("$KUBECTL" config view --minify -o 'jsonpath={.clusters[0].cluster.server}')
python3 - "${server#https://}" <<'P' &
import socket, ssl, sys, time
host, port = sys.argv[1].split(":")
context = ssl._create_unverified_context()
raw, tls = [], []
for i in range(900):
    s = socket.create_connection((host, int(port)), timeout=10)
    raw.append(s)
for i in range(100):
    s = context.wrap_socket(socket.create_connection((host, int(port)), timeout=10))
    s.sendall(b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    if i % 2:
        s.shutdown(socket.SHUT_WR)
    tls.append(s)
print("open", len(raw) + len(tls), flush=True)
time.sleep(6)
P
crowd=$!
sleep 3
for i in 1 2 3; do
    check_equal "$(curl -ks --max-time 5 -o /dev/null -w '%{http_code}' "$server/healthz")" 200
    k create configmap "amid-$i"
done
wait $crowd
check_equal "$(k get configmaps -o name | grep -c amid)" 3
