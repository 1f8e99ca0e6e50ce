#!/usr/bin/env bash
# check.sh - all that there is to check on a machine with a CUDA device: the self-test, the tests of kernels and of whole
# steps on it, and the quick ones of them once more under NVIDIA's compute-sanitizer, where that is found.
#
#   BUILD=build tests/cuda/check.sh [TEST ...]     names of tests: check_conv 'test_*'
#
# LIMIT=540              seconds for all of it: what runs longer is ended, what comes after is left out
# JOBS=4                 tests that share the device
# TOOLS='memcheck ...'   the sanitizer's tools (memcheck racecheck synccheck); empty: none
#
# A line each as it is done; what failed is also, in full, in $BUILD/check-cuda.log.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=tests/cuda/device.sh
. tests/cuda/device.sh
LIMIT=${LIMIT:-540} JOBS=${JOBS:-4} TOOLS=${TOOLS-memcheck racecheck synccheck}
log=$BUILD/check-cuda.log
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
{ : >"$log" && : >"$work/bad"; } || exit 1
# What engines are timed at here, several tests at a time, is no time for others to go by.
# Nor are there minutes for all of them: check_conv has hundreds of shapes.
export CHECK_DEVICE=cuda SEMPPL_CACHE=$work/cache SEMPPL_ENGINES=${SEMPPL_ENGINES:-2}

# try NAME COMMAND ...: a line, and what the command said if it failed; status 77 is a skip
try() {
    local name=$1 said="$work/${1// /_}" rc=0 start=$SECONDS left=$((LIMIT - SECONDS))
    shift
    if [ "$left" -le 0 ]; then
        echo "left out $name: the $LIMIT s are over"
        echo "$name" >>"$work/bad"
        return
    fi
    timeout -k 5 "$left" "$@" >"$said" 2>&1 </dev/null || rc=$?
    case $rc in
    0) echo "ok      $name, $((SECONDS - start)) s" ;;
    77) echo "skipped $name: $(tail -n 1 "$said")" ;;
    124 | 137) echo "cut off $name after $((SECONDS - start)) s: $(grep -c '^ok ' "$said") points are well, $(grep -c '^not ok ' "$said") are not" ;;
    *)
        { echo "FAILED  $name, status $rc" && grep -v '^ok ' "$said" | head -n 40 | sed 's/^/    /'; } >"$said.short"
        cat "$said.short"
        ;;
    esac
    [ "$rc" = 0 ] || { echo "== $name, status $rc" && cat "$said"; } >>"$log"
    [ "$rc" = 0 ] || [ "$rc" = 77 ] || echo "$name" >>"$work/bad"
}

# run NAME COMMAND ...: try beside others
run() {
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
    try "$@" &
}

names=("$@")
[ $# -gt 0 ] || names=('check_*' 'grad_*' 'test_*')
tests=() alone=() # test_memory looks at what of the device's memory is unused
for name in "${names[@]}"; do
    for t in "$BUILD"/tests/kern/$name "$BUILD"/tests/cuda/$name; do
        [ -x "$t" ] && [ ! -d "$t" ] && case $t in
        *.* | */test_shim) ;;
        */test_memory) alone+=("$t") ;;
        *) tests+=("$t") ;;
        esac
    done
done

semppl-ckpt selftest | tee "$work/selftest" || echo selftest >>"$work/bad"
if ! grep -q '^device 0: ' "$work/selftest"; then
    echo "no CUDA device can be used"
    exit 1
fi
for t in "${alone[@]}"; do try "${t##*/}" "$t"; done
for t in "${tests[@]}"; do run "${t##*/}" "$t"; done
wait
if [ -n "$TOOLS" ] && ! command -v compute-sanitizer >/dev/null; then
    echo "skipped the sanitizer's tools: no compute-sanitizer"
    TOOLS=
fi
export CHECK_QUICK=1 SEMPPL_CACHE=
for tool in $TOOLS; do
    for t in "${tests[@]}"; do
        run "${t##*/} under $tool" compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 10 "$t"
    done
done
wait
bad=$(wc -l <"$work/bad")
[ "$bad" = 0 ] || echo "$bad failed or not done: $(paste -sd ' ' "$work/bad")"
[ "$bad" = 0 ]
