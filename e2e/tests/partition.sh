# Three nodes, each in its own network namespace, under writers and watchers: links are cut and healed, one way too,
# nodes are killed and come back. No answered write may be lost, and no client may see a gap.
. "$ROOT/e2e/netns.sh"
. "$ROOT/e2e/history/history.sh"
trap net_finish EXIT
net_begin 3
for i in 1 2 3; do net_node_start "$i"; done
history_begin

echo "all together"
sleep 2
for i in 1 2 3; do answers "$i"; done

echo "one node cut off"
net_cut "1" "2 3"
sleep 2
for i in 1 2 3; do answers "$i"; done
sleep 2
net_heal

echo "every link cut"
sleep 4
net_cut "1" "2" "3"
sleep 2
for i in 1 2 3; do answers "$i"; done
sleep 1
net_heal
sleep 4

echo "one node killed, and back"
net_end 2 KILL
for i in 1 3; do answers "$i"; done
sleep 1
net_spawn 2
net_wait_ready 2
answers 2

echo "one direction of one link cut"
net_cut_from 1 3
sleep 3
for i in 1 2 3; do answers "$i"; done
net_heal

echo "two of three killed"
net_end 1 KILL
net_end 3 KILL
sleep 1
answers 2
net_spawn 1
net_spawn 3
net_wait_ready 1
net_wait_ready 3

history_end

# The checker can fail: without one of the created objects it must.
python3 - <<'PYTHON'
import json
lines = [json.loads(line) for line in open("record")]
made = next(e["key"] for e in lines if e.get("op") == "create" and e["outcome"] == "ok")
for e in lines:
    if "final" in e:
        e["items"].pop(made)
        e["cache"].pop(made)
open("doctored", "w").write("\n".join(map(json.dumps, lines)) + "\n")
PYTHON
check_fails "lost: made-" python3 "$ROOT/e2e/history/check.py" doctored --conflicts conflicts.json
