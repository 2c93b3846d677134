# Seven nodes, each in its own network namespace, under writers and watchers: two sides; three sides of which none has a
# majority, and a node of one is killed; links that work one way; three nodes killed and back. No answered write may be
# lost, no client see a gap, and nothing that was irreversible change.
. "$ROOT/e2e/netns.sh"
. "$ROOT/e2e/history/history.sh"
trap net_finish EXIT
net_begin 7
for i in 1 2 3 4 5 6 7; do net_node_start "$i"; done
wait_equal 20 7 net_acting 1
history_begin --pause 0.1

# level NODE NAME: how far node NODE knows the ConfigMap to be.
level() {
    "$KATENA" chain status "configmaps/$2" -n history --kubeconfig "$(net_config "$1")"
}
# write NODE NAME
write() {
    nk "$1" -n history create configmap "$2" >/dev/null
}

echo "all together"
sleep 2
for i in 1 4 7; do answers "$i"; done

echo "four on one side, three on the other"
net_cut "1 2 3 4" "5 6 7"
sleep 2
write 2 of-four
write 6 of-three
for i in 1 3 5 7; do answers "$i"; done
wait_for 10 eval 'level 4 of-four | grep -q irreversible'
version() { nk "$1" -n history get configmap "$2" -o 'jsonpath={.metadata.uid} {.metadata.resourceVersion}'; }
final=$(version 4 of-four)
sleep 1
check_contains "$(level 5 of-three)" included
net_heal
wait_for 20 nk 1 -n history get configmap of-three
wait_for 20 eval 'level 3 of-three | grep -q irreversible'

echo "three sides, none with a majority"
net_cut "1 5 6" "2 3" "4 7"
sleep 2
for i in 1 2 4; do write "$i" "of-side-$i"; done
for i in 6 3 7; do answers "$i"; done
net_end 7 KILL
for i in 1 2 4; do check_contains "$(level "$i" "of-side-$i")" included; done
net_spawn 7
net_wait_ready 7
answers 7
check_contains "$(level 7 of-side-4)" included
net_heal
for i in 1 2 4; do
    wait_for 20 nk 5 -n history get configmap "of-side-$i"
    wait_for 20 eval 'level 7 of-side-1 | grep -q irreversible'
done

echo "links that work one way"
net_cut_from 1 2
net_cut_from 3 4
net_cut_from 5 6
net_cut_from 7 1
sleep 2
for i in 1 2 3 4 5 6 7; do answers "$i"; done
sleep 1
net_heal

echo "three of seven killed, and back"
for i in 2 5 7; do net_end "$i" KILL; done
for i in 1 3 4 6; do answers "$i"; done
write 6 of-the-rest
wait_for 10 eval 'level 1 of-the-rest | grep -q irreversible'
for i in 2 5 7; do net_spawn "$i"; done
for i in 2 5 7; do net_wait_ready "$i"; done

history_end
for i in 1 4 7; do check_equal "$(version $i of-four)" "$final"; done
