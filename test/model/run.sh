#!/bin/sh
# run.sh DIR: checks finality.pml with Spin in DIR, and that it notices when a rule is left out.
set -eu
model=$(cd "$(dirname "$0")" && pwd)/finality.pml
mkdir -p "$1"
cd "$1"

# check NAME ERRORS [DEFINE...]: explores all states and expects that many errors.
check() {
    name=$1
    expected=$2
    shift 2
    spin -a "$@" "$model" >spin.log
    cc -O2 -w -DSAFETY -DNOREDUCE -DCOLLAPSE -o pan pan.c
    ./pan -m1000000 -w22 >"$name.log" 2>&1 || true
    grep -E 'errors:|states, stored' "$name.log"
    ! grep -q 'search depth too small\|out of memory' "$name.log"
    grep -q "errors: $expected\$" "$name.log" || { echo "$name: expected $expected errors"; exit 1; }
}

check rules 0
check change_at_once 1 -DAT_ONCE
check no_lock 1 -DNO_LOCK
