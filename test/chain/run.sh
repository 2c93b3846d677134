#!/bin/sh
# katena chain, on a chain of six blocks: run.sh KATENA MAKE_CHAIN
set -eu
katena=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$2" "$dir/data"

chain() {
    "$katena" chain "$@" --data-dir "$dir/data"
}
expect() { # TEXT COMMAND...: the output has the text
    text=$1
    shift
    "$@" >"$dir/out" 2>&1 || { cat "$dir/out"; echo "failed: $*"; exit 1; }
    grep -qF -- "$text" "$dir/out" || { cat "$dir/out"; echo "no \"$text\" from: $*"; exit 1; }
}
expect_failure() {
    text=$1
    shift
    if "$@" >"$dir/out" 2>&1; then cat "$dir/out"; echo "succeeded: $*"; exit 1; fi
    grep -qF -- "$text" "$dir/out" || { cat "$dir/out"; echo "no \"$text\" from: $*"; exit 1; }
}
lines() { # NUMBER COMMAND...
    number=$1
    shift
    got=$("$@" | wc -l)
    [ "$got" -eq "$number" ] || { "$@"; echo "$got lines, not $number, from: $*"; exit 1; }
}

expect 'height:          6' chain status
expect 'objects:         3' chain status
lines 6 chain log --oneline
lines 2 chain log --oneline -n 2
lines 2 chain log --oneline cm/web -n default
lines 2 chain log --oneline configmaps web
lines 0 chain log --oneline configmaps web -n elsewhere
lines 4 chain log --oneline configmap
lines 1 chain log --oneline --user alice
expect 'delete configmaps default/other' chain log
id=$(chain log --oneline cm/web -n 1 | cut -d' ' -f1)
expect '"value": "2"' chain show "$id"
expect 'change  configmaps default/web' chain show "$id"
expect 'block 4' chain show 4
expect 'block 0' chain show 0
expect_failure 'no transaction or block' chain show ffffffffffffffff
expect "$id" chain blame cm/web
expect 'data.value: "2"' chain blame configmap web -n default
first=$(chain log --oneline cm/web | tail -1 | cut -d' ' -f1)
expect "$first" chain blame cm/web
expect 'sealed' chain blame secret/token
expect_failure 'there is no configmaps "other"' chain blame cm other
expect '7 blocks and 6 transactions hold' chain verify
expect 'The 3 objects' chain verify
expect 'No conflicts' chain conflicts

chain prove "$id" -o "$dir/proof"
expect 'The proof holds' "$katena" chain verify --proof "$dir/proof"
producer=$(chain status | sed -n 's/^first validator: *//p')
head=$(chain status | sed -n 's/^head: *//p')
expect 'The proof holds' "$katena" chain verify --proof "$dir/proof" --producer "$producer"
expect_failure 'another key' "$katena" chain verify --proof "$dir/proof" --producer "$head"
expect_failure 'not the one that is trusted' "$katena" chain verify --proof "$dir/proof" --head "$head"
chain prove "$id" --to-head --without-content -o "$dir/proof"
expect 'The proof holds' "$katena" chain verify --proof "$dir/proof" --head "$head"
sed 's/"index":0/"index":1/' "$dir/proof" >"$dir/forged"
expect_failure 'does not hold' "$katena" chain verify --proof "$dir/forged"

# Beside a node that runs.
expect '7 blocks and 6 transactions hold' "$2" "$dir/running" "$katena chain verify --data-dir $dir/running"

expect_failure 'there is no chain' "$katena" chain status --data-dir "$dir/nowhere"
expect_failure 'unknown command' "$katena" chain dance --data-dir "$dir"
echo 'katena chain: all as expected'
