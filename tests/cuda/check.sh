#!/usr/bin/env bash
# check.sh - all that there is to check on a machine with a CUDA device: the self-test, the tests of kernels and of whole
# steps on it, and the quick ones of them once more under NVIDIA's compute-sanitizer, where that is found.
#
#   BUILD=build tests/cuda/check.sh [TEST ...]     names of tests: check_conv test_step
#
# TOOLS='memcheck racecheck' (default: memcheck racecheck synccheck) chooses the sanitizer's tools; empty: none.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=tests/cuda/device.sh
. tests/cuda/device.sh
TOOLS=${TOOLS-memcheck racecheck synccheck}
export CHECK_DEVICE=cuda
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
bad=0

# run NAME COMMAND ...: a line, and what the command said if it failed; status 77 is a skip
run() {
    local name=$1 rc=0 start=$EPOCHSECONDS
    shift
    "$@" >"$log" 2>&1 </dev/null || rc=$?
    case $rc in
    0) echo "ok      $name, $((EPOCHSECONDS - start)) s" ;;
    77) echo "skipped $name: $(tail -n 1 "$log")" ;;
    *)
        echo "FAILED  $name, status $rc"
        grep -v '^ok ' "$log" | head -n 40 | sed 's/^/    /'
        bad=$((bad + 1))
        ;;
    esac
}

tests=()
for t in "$BUILD"/tests/kern/check_* "$BUILD"/tests/kern/grad_* "$BUILD"/tests/cuda/test_*; do
    [ -x "$t" ] && [ ! -d "$t" ] && case $t in *.*|*/test_shim) ;; *) tests+=("$t") ;; esac
done
if [ $# -gt 0 ]; then
    tests=()
    for name in "$@"; do tests+=("$BUILD"/tests/*/"$name"); done
fi

semppl-ckpt selftest || bad=$((bad + 1))
for t in "${tests[@]}"; do run "${t##*/}" "$t"; done
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
[ "$bad" = 0 ] || echo "$bad failed"
[ "$bad" = 0 ]
