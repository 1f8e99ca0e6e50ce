#!/usr/bin/env bash
# Manual pages: the linter is silent, cross-references lead somewhere, and every example works, in the order of the page.
# shellcheck source=tests/cli/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

if ! command -v mandoc >/dev/null; then
    skip 'manual pages' 'no mandoc'
    finish
    exit
fi

# commands PAGE: the lines that begin with "$ ", as the reader sees them; a backslash at the end joins lines
commands() {
    mandoc -T ascii -O width=1000 "$1" | sed 's/.\x08//g' |
        sed -n -e ':join' -e '/\\$/{N;s/\\\n *//;b join' -e '}' -e 's/^ *\$ //p'
}
# run_examples PAGE: one test point a command, in a copy of common/
run_examples() {
    local page=$1 name line rc
    name=$(basename "$page")
    rm -rf work
    cp -r common work
    commands "$page" >lines
    check_out "$name: every example is found" "$(grep -c '^\.Dl \$ ' "$page")" 'grep -c . lines; true'
    while IFS= read -r line <&3; do
        rc=0
        (cd work && bash -o pipefail -c "$line") >.out 2>.err </dev/null || rc=$?
        [ $rc = 0 ] || echo "exit $rc: $line" >>.err
        t_ok $rc "$name: $line" .err
    done 3<lines
}

for page in "$TOP"/man/*.[1-9]; do
    check_out "$(basename "$page") is well-formed" '' 'mandoc -T lint -W warning "$page" 2>&1'
    check_out "its references to our pages lead somewhere" '' '
        sed -n "s/^\.Xr \(semppl[a-z-]*\) \([1-9]\).*/\1.\2/p" "$page" | sort -u |
        while read -r ref; do [ -e "$TOP/man/$ref" ] || echo "$ref"; done'
done

# What the examples start from: the steps of semppl(7), on pictures of ten shapes.
mkdir common
check 'pictures for the examples' '
    "$BUILD"/examples/draw-shapes common/photos 6 1 && "$BUILD"/examples/draw-shapes common/test 2 2'
run_examples "$TOP/man/semppl.7"
for f in train.h5 0.h5 1.h5 labels.tsv bank.h5; do
    check "semppl.7 makes $f" "[ -s work/$f ]"
done
rm -rf common
cp -r work common
check 'test.h5 for the examples' 'semppl-prep --pixels 32 -o common/test.h5 common/test'
for page in "$TOP"/man/*.1 "$TOP"/man/*.5; do
    [ -e "$page" ] && run_examples "$page"
done
finish
