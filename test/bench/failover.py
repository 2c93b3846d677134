#!/usr/bin/env python3
"""From kill -9 of a process until the next answered write through another node, in milliseconds.

  failover.py katena URL CA CERT KEY PID
  failover.py etcd URL PID

One client writes, one request after the other; a request that fails, or is not answered within 200 ms, is tried again
at once. etcd is spoken to by its JSON gateway, so both sides have the same client.
"""
import base64, http.client, json, os, signal, ssl, sys, threading, time
from urllib.parse import urlsplit

kind, url = sys.argv[1], urlsplit(sys.argv[2])
pid = int(sys.argv[-1])
tls = None
if kind == "katena":
    tls = ssl.create_default_context(cafile=sys.argv[3])
    tls.load_cert_chain(sys.argv[4], sys.argv[5])
connection = None
number = 0
PATIENCE_S = 0.2


def write():
    global connection, number
    number += 1
    name = f"failover-{pid}-{number}"
    try:
        if not connection:
            connection = (http.client.HTTPSConnection(url.hostname, url.port, timeout=PATIENCE_S, context=tls) if tls else
                          http.client.HTTPConnection(url.hostname, url.port, timeout=PATIENCE_S))
        if kind == "katena":
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
            connection.request("POST", "/api/v1/namespaces/bench/configmaps", json.dumps(body),
                               {"Content-Type": "application/json"})
        else:
            body = {"key": base64.b64encode(name.encode()).decode(), "value": "eA=="}
            connection.request("POST", "/v3/kv/put", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status in (200, 201)
    except (OSError, http.client.HTTPException):
        if connection:
            connection.close()
        connection = None
        return False


begun = time.monotonic()
refused = 0
while time.monotonic() - begun < 0.5:
    refused += not write()
if refused > 3:
    sys.exit("the node does not take writes before the failure")
killed = []


def kill():
    killed.append(time.monotonic())
    os.kill(pid, signal.SIGKILL)


# From another thread, so that a write is under way.
threading.Timer(0.05, kill).start()
while True:
    started = time.monotonic()
    if not write():
        time.sleep(0.001)
    elif killed and started > killed[0]:
        break
print(f"{(time.monotonic() - killed[0]) * 1000:.1f}")
