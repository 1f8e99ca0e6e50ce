# lib.sh - shell tests in TAP. Source it first: it makes a temporary folder, enters it, and removes it at the end.
#
#   check      NAME COMMAND          COMMAND exits 0
#   check_exit STATUS NAME COMMAND   COMMAND exits with STATUS
#   check_same NAME COMMAND COMMAND  both exit 0 and print the same bytes
#   check_out  NAME TEXT COMMAND     COMMAND exits 0 and prints exactly TEXT
#   check_err  STATUS NAME PATTERN COMMAND   exits with STATUS, and a line of stderr matches the grep -E PATTERN
#   skip       NAME REASON
#   finish                           the plan; last line of every test
#
# COMMANDs are strings for eval. $BUILD holds the programs (they are put on PATH), $TOP the source tree.
# shellcheck shell=bash
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-$TOP/build}
case $BUILD in /*) ;; *) BUILD=$TOP/$BUILD ;; esac
export PATH="$BUILD:$PATH" TOP BUILD
export HDF5_USE_FILE_LOCKING=FALSE
T_DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$T_DIR"' EXIT
cd "$T_DIR" || exit 1
T_N=0
T_BAD=0

t_ok() { # STATUS NAME [FILE ...]: prints the result; on failure, the files to stderr
    T_N=$((T_N + 1))
    local good=$1 name=$2
    shift 2
    if [ "$good" = 0 ]; then
        echo "ok $T_N - $name"
    else
        echo "not ok $T_N - $name"
        T_BAD=$((T_BAD + 1))
        # of stdout prove shows nothing
        { echo "# $name"; for f in "$@"; do sed -n 's/^/#   /;1,15p' "$f"; done; } >&2
    fi
}
check() { check_exit 0 "$1" "$2"; }
check_exit() {
    local rc=0
    eval "$3" >.out 2>.err </dev/null || rc=$?
    [ "$rc" = "$1" ] || echo "exit $rc, wanted $1: $3" >>.err
    t_ok "$([ "$rc" = "$1" ]; echo $?)" "$2" .err
}
check_same() {
    local rc=0
    { eval "$2" >.one 2>.err </dev/null && eval "$3" >.two 2>>.err </dev/null && cmp .one .two >>.err; } || rc=1
    t_ok $rc "$1" .err
}
check_out() {
    local rc=0
    { eval "$3" >.out 2>.err </dev/null && [ "$(cat .out)" = "$2" ]; } || rc=1
    t_ok $rc "$1" .out .err
}
check_err() {
    local rc=0
    eval "$4" >.out 2>.err </dev/null || rc=$?
    if [ "$rc" = "$1" ] && grep -qE -- "$3" .err; then
        t_ok 0 "$2"
    else
        echo "exit $rc, wanted $1 and /$3/" >>.err
        t_ok 1 "$2" .err
    fi
}
skip() {
    T_N=$((T_N + 1))
    echo "ok $T_N - $1 # SKIP $2"
}
finish() {
    echo "1..$T_N"
    [ "$T_BAD" = 0 ]
}
