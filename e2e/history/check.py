#!/usr/bin/env python3
"""Judges a record of client.py: each object is a register, and each answered write must be accounted for.

  check.py RECORD [--conflicts FILE]

FILE is the JSON list of the cluster's conflicts (katena chain conflicts -A -o json), or left out where none may be.

 1. All nodes end with the same objects, at the same resourceVersions.
 2. What was created, with an answer, is there.
 3. A register with one writer ends at its last answered value, or a later one whose answer was lost; and so does a
    field with one writer in an object that all share.
 4. A field that all fight for ends at a value that somebody wrote; a value that lost to a concurrent one was
    answered earlier, or is among the conflicts.
 5. Each watcher ends with what a list gives: no gap. It never sees a one-writer register run backwards.
 6. One client's answered writes to one node have growing resourceVersions.
"""
import argparse, collections, json, sys

parser = argparse.ArgumentParser()
parser.add_argument("record")
parser.add_argument("--conflicts")
args = parser.parse_args()

entries = [json.loads(line) for line in open(args.record)]
writes = [e for e in entries if "op" in e]
finals = {e["final"]: e for e in entries if "final" in e}
faults = []


def fault(text, *rest):
    faults.append(text % rest)


def same(a, b):
    return {n: (i["uid"], i["rv"], i["data"]) for n, i in a.items()} == {n: (i["uid"], i["rv"], i["data"]) for n, i in b.items()}


def difference(a, b):
    names = [n for n in sorted(set(a) | set(b)) if a.get(n) != b.get(n)]
    return ", ".join(f"{n}: {a.get(n)} / {b.get(n)}" for n in names[:3]) + (" …" if len(names) > 3 else "")


if not finals or any(f["status"] != 200 for f in finals.values()):
    fault("a node does not answer at the end: %s", {n: f["status"] for n, f in finals.items()})
    print("\n".join(faults))
    sys.exit(1)

reference_name, reference = next(iter(finals.items()))
items = reference["items"]
for name, final in finals.items():
    if not same(final["items"], items):
        fault("%s and %s end with different objects: %s", reference_name, name, difference(items, final["items"]))
    if not same(final["cache"], final["items"]):
        fault("the watcher of %s has missed something: %s", name, difference(final["cache"], final["items"]))

for write in writes:
    if write["op"] in ("create", "own") and write["outcome"] == "ok" and write["key"] not in items:
        fault("lost: %s was created by %s (answered), and is not there", write["key"], write["client"])


def check_single(client, op, value, what):
    """One writer's register: its last answered value, or a later one of unknown outcome."""
    mine = [w for w in writes if w["client"] == client and w["op"] in op and w["key"] == what[0]]
    answered = [int(w["value"]) for w in mine if w["outcome"] == "ok"]
    last = max(answered, default=-1)
    possible = {last} | {int(w["value"]) for w in mine if w["outcome"] == "unknown" and int(w["value"]) > last}
    if answered and value not in possible:
        fault("lost: %s of %s ends at %s, last answered %s", "/".join(what), client, value, last)


clients = sorted({w["client"] for w in writes} - {"setup"})
for client in clients:
    own = f"register-{client}"
    if own in items:
        check_single(client, ("own", "count"), int(items[own]["data"]["value"]), (own,))
    shared = items.get("shared", {}).get("data", {})
    if client in shared or any(w["client"] == client and w["op"] == "field" and w["outcome"] == "ok" for w in writes):
        check_single(client, ("field",), int(shared.get(client, -2)), ("shared", client))

fights = [w for w in writes if w["op"] == "fight" and w["outcome"] in ("ok", "unknown")]
fight = items.get("shared", {}).get("data", {}).get("fight")
if fights and fight not in {w["value"] for w in fights}:
    fault("the fought-for field ends at %r, which nobody wrote", fight)
conflicts = json.load(open(args.conflicts)) if args.conflicts else {"items": []}
reported = json.dumps(conflicts)
last_end = max((w["start"] for w in fights if w["value"] == fight), default=0)
for write in fights:
    # Answered after the winner was written, and yet it does not stand: it lost, and somebody has to say so.
    winners = [w for w in fights if w["value"] == fight]
    if write["outcome"] == "ok" and winners and write["start"] > winners[0]["end"] and write["value"] != fight:
        later = [w for w in fights if w["outcome"] == "ok" and w["start"] >= write["end"]
                 and w["node"] == write["node"] and w["value"] != write["value"]]
        if not later and write["value"] not in reported:
            fault("lost without a trace: %s wrote %s after the winner %s", write["client"], write["value"], fight)

seen = collections.defaultdict(dict)
backwards = 0
for e in entries:
    if "watcher" in e and e["event"] in ("ADDED", "MODIFIED") and e["name"].startswith("register-"):
        value = int(e["data"].get("value", "0"))
        if value < seen[e["watcher"]].get(e["name"], -1):
            backwards += 1
        seen[e["watcher"]][e["name"]] = value
if backwards:
    fault("watchers saw one-writer registers run backwards %d times", backwards)

last_rv = {}
for w in writes:
    if w["outcome"] == "ok":
        key = (w["client"], w["node"])
        if int(w["rv"]) <= last_rv.get(key, 0):
            fault("%s: resourceVersion %s after %d", w["client"], w["rv"], last_rv[key])
        last_rv[key] = int(w["rv"])

outcomes = collections.Counter(w["outcome"] for w in writes)
events = collections.Counter(e["event"] for e in entries if "watcher" in e)
print(f"{len(writes)} writes ({dict(outcomes)}), {len(items)} objects on {len(finals)} nodes, watch events {dict(events)}, "
      f"{len(conflicts.get('items', []))} conflicts")
for text in faults[:20]:
    print("VIOLATED:", text)
if not any(w["outcome"] == "ok" for w in writes):
    print("VIOLATED: nothing was written")
    sys.exit(1)
sys.exit(1 if faults else 0)
