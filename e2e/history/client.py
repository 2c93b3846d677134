#!/usr/bin/env python3
"""Clients that write, read and watch, and record all that they do, one JSON object in a line.

  client.py --config KUBECONFIG=URL ... --namespace NS --seconds S --out FILE

Each node (one --config) gets two writers and a watcher. Writers never give up: an operation whose answer did not come
is recorded as unknown, for it may have happened. What they do:

  create    a ConfigMap of a name that nobody else uses
  count     the next number into the writer's own ConfigMap (one writer for each: a register that only grows)
  field     the next number into the writer's own field of a ConfigMap that all share, by a merge patch
  fight     a value of its own into one field that all writers share

A watcher lists, then watches, and lists again when it is told 410, as client-go does. check.py judges the record.
"""
import argparse, base64, http.client, json, os, ssl, subprocess, sys, tempfile, threading, time
from urllib.parse import urlsplit

lock = threading.Lock()


class Recorder:
    def __init__(self, path):
        self.file = open(path, "w", buffering=1)

    def add(self, **entry):
        with lock:
            self.file.write(json.dumps(entry) + "\n")


def now():
    return time.monotonic()


class Node:
    """A connection to one node with the rights of a kubeconfig."""

    def __init__(self, name, kubeconfig):
        text = subprocess.check_output([os.environ["KUBECTL"], "--kubeconfig", kubeconfig, "config", "view", "--raw", "-o", "json"])
        config = json.loads(text)
        self.name = name
        url = urlsplit(config["clusters"][0]["cluster"]["server"])
        self.host, self.port = url.hostname, url.port
        user = config["users"][0]["user"]
        self.tls = ssl.create_default_context(
            cadata=base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pem:
            for field in "client-certificate-data", "client-key-data":
                pem.write(base64.b64decode(user[field]))
            pem.flush()
            self.tls.load_cert_chain(pem.name)

    def connect(self, timeout):
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)


class Session:
    """One request after the other on a connection that is opened again when it broke."""

    def __init__(self, node, timeout=4):
        self.node, self.timeout, self.connection = node, timeout, None

    def request(self, method, path, body=None, kind="application/json"):
        try:
            if not self.connection:
                self.connection = self.node.connect(self.timeout)
            headers = {"Content-Type": kind, "Accept": "application/json"}
            self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read() or "{}")
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return 0, {}

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Writer(threading.Thread):
    def __init__(self, node, name, args, recorder):
        super().__init__(daemon=True)
        self.session, self.name_, self.args, self.recorder = Session(node), name, args, recorder
        self.base = f"/api/v1/namespaces/{args.namespace}/configmaps"
        self.number = 0

    def record(self, op, key, value, start, status, body, want):
        outcome = "ok" if status in want else "unknown" if status == 0 or status >= 500 else "refused"
        self.recorder.add(client=self.name_, node=self.session.node.name, op=op, key=key, value=value, start=start,
                          end=now(), status=status, outcome=outcome,
                          rv=body.get("metadata", {}).get("resourceVersion", ""),
                          why=body.get("message", "") if outcome != "ok" else "")
        return outcome

    def patch(self, op, key, field, value):
        start = now()
        status, body = self.session.request("PATCH", f"{self.base}/{key}", {"data": {field: value}},
                                            "application/merge-patch+json")
        return self.record(op, key, value, start, status, body, (200,))

    def create(self, key, value, op="create"):
        start = now()
        status, body = self.session.request("POST", self.base, {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key}, "data": {"value": value}})
        # An answer that was lost leaves the object there: the second try then says so.
        return self.record(op, key, value, start, status, body, (201,))

    def run(self):
        own = f"register-{self.name_}"
        while self.create(own, "0", "own") == "unknown" and not self.args.stop.is_set():
            time.sleep(0.1)
        while not self.args.stop.is_set():
            self.number += 1
            turn, n = self.number % 4, self.number
            if turn == 0:
                outcome = self.create(f"made-{self.name_}-{n}", str(n))
            elif turn == 1:
                outcome = self.patch("count", own, "value", str(n))
            elif turn == 2:
                outcome = self.patch("field", "shared", self.name_, str(n))
            else:
                outcome = self.patch("fight", "shared", "fight", f"{self.name_}-{n}")
            time.sleep(self.args.pause if outcome == "ok" else 0.1)


class Watcher(threading.Thread):
    def __init__(self, node, args, recorder):
        super().__init__(daemon=True)
        self.node, self.args, self.recorder = node, args, recorder
        self.base = f"/api/v1/namespaces/{args.namespace}/configmaps"
        self.cache, self.rv = {}, ""

    def note(self, what, item=None, **more):
        entry = dict(watcher=self.node.name, event=what, at=now(), **more)
        if item:
            meta = item["metadata"]
            entry.update(name=meta["name"], uid=meta["uid"], rv=meta["resourceVersion"], data=item.get("data", {}))
        self.recorder.add(**entry)

    def list(self):
        status, body = Session(self.node).request("GET", self.base)
        if status != 200:
            return False
        self.rv = body["metadata"]["resourceVersion"]
        self.cache = {i["metadata"]["name"]: i for i in body["items"]}
        self.note("LIST", rv=self.rv, count=len(self.cache))
        for item in body["items"]:
            self.note("LISTED", item)
        return True

    def watch(self):
        """True: go on from where it was; false: a new list is needed."""
        connection = self.node.connect(5)
        try:
            connection.request("GET", f"{self.base}?watch=1&allowWatchBookmarks=true&timeoutSeconds=20&resourceVersion={self.rv}")
            answer = connection.getresponse()
            if answer.status == 410:
                self.note("EXPIRED")
                return False
            for line in answer if answer.status == 200 else ():
                event = json.loads(line)
                item = event["object"]
                if event["type"] == "ERROR":
                    self.note("ERROR", code=item.get("code"), text=item.get("message"))
                    return item.get("code") != 410
                self.rv = item["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                self.note(event["type"], item)
                name = item["metadata"]["name"]
                if event["type"] == "DELETED":
                    self.cache.pop(name, None)
                else:
                    self.cache[name] = item
                if self.args.stop.is_set() and self.args.settled.is_set():
                    return True
        except (OSError, http.client.HTTPException, ValueError):
            pass
        finally:
            connection.close()
        return True

    def run(self):
        listed = False
        while not self.args.settled.is_set():
            listed = listed or self.list()
            if listed:
                listed = self.watch()
            time.sleep(0.1)


def snapshot(watcher, recorder):
    """What a node has at the end, and what its watcher believes."""
    status, body = Session(watcher.node, 20).request("GET", watcher.base)
    recorder.add(final=watcher.node.name, status=status, rv=body.get("metadata", {}).get("resourceVersion"),
                 items={i["metadata"]["name"]: dict(uid=i["metadata"]["uid"], rv=i["metadata"]["resourceVersion"],
                                                    data=i.get("data", {})) for i in body.get("items", [])},
                 cache={n: dict(uid=i["metadata"]["uid"], rv=i["metadata"]["resourceVersion"], data=i.get("data", {}))
                        for n, i in watcher.cache.items()})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", action="append", required=True, metavar="NAME=KUBECONFIG")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--pause", type=float, default=0.02)
    parser.add_argument("--stop-file", required=True, help="writers end when it exists")
    parser.add_argument("--settled-file", required=True, help="the last snapshot is taken when it exists")
    args = parser.parse_args()
    args.stop, args.settled = threading.Event(), threading.Event()
    recorder = Recorder(args.out)
    nodes = [Node(*text.split("=", 1)) for text in args.config]
    first = Writer(nodes[0], "setup", args, recorder)
    if first.create("shared", "0", "own") == "unknown":
        sys.exit("the first node does not answer")
    writers = [Writer(node, f"{node.name}-{i}", args, recorder) for node in nodes for i in range(2)]
    watchers = [Watcher(node, args, recorder) for node in nodes]
    for thread in watchers + writers:
        thread.start()
    parent = os.getppid()

    def wait_for(path):
        while not os.path.exists(path):
            if os.getppid() != parent:
                sys.exit("whoever started this is gone")
            time.sleep(0.05)

    wait_for(args.stop_file)
    args.stop.set()
    for writer in writers:
        writer.join(30)
    recorder.add(stopped=now())
    wait_for(args.settled_file)
    time.sleep(1)
    for watcher in watchers:
        snapshot(watcher, recorder)
    args.settled.set()


main()
