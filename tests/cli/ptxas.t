#!/usr/bin/env bash
# What nvcc made of the kernels, where the plugin is built: code for every architecture, and no registers in memory.
# shellcheck source=tests/cli/lib.sh disable=SC2016
. "${BASH_SOURCE[0]%/*}/lib.sh"

# Kernels that may spill, one a line: a part of the kernel's name, the most bytes, why.
budget='
max_any               8  one register, for 10.0 alone, in windows of any shape
'

if [ "${CUDA-1}" = 0 ] || [ ! -e "$BUILD/libsemppl-cuda.so" ]; then
    skip 'what nvcc made of the kernels' 'not built: make CUDA=1'
    finish
    exit
fi

# functions FILE: of what ptxas said, one line a function: architecture, name, bytes of stack, of spill stores and loads
functions() {
    sed -n -e "s/^ptxas info *: Compiling entry function '\(.*\)' for '\(.*\)'$/entry \2 \1/p" \
        -e 's/^ptxas info *: Function properties for \(.*\)$/function \1/p' \
        -e 's/^ *\([0-9]*\) bytes stack frame, \([0-9]*\) bytes spill stores, \([0-9]*\) bytes spill loads$/bytes \1 \2 \3/p' "$1" |
        awk '$1 == "entry" { arch = $2 } $1 == "function" { name = $2 } $1 == "bytes" { print arch, name, $2, $3, $4 }'
}
allowed() { awk -v name="$1" 'NF && index(name, $1) { n = $2 } END { print n + 0 }' <<<"$budget"; }

archs=$(tr ' ' '\n' <"$BUILD/.cuda-flags" | sed -n 's/^arch=compute_.*,code=\(sm_.*\)/\1/p' | sort)
for report in "$BUILD"/cuda/kernels/cuda/*.cu.ptxas; do
    file=${report##*/}
    functions "$report" >list
    # shellcheck disable=SC2034 # archs is for eval
    check_out "${file%.ptxas} has code for every architecture" "$archs" 'sed "s/ .*//" list | sort -u'
    while read -r arch name stack stores loads; do
        [ $((stores + loads)) = 0 ] || [ $((stores + loads)) -le "$(allowed "$name")" ] ||
            echo "$(c++filt "$name" 2>/dev/null || echo "$name"), $arch: $stores bytes stored, $loads loaded"
        [ "$stack" = 0 ] || [ $((stores + loads)) != 0 ] || echo "# $arch: arrays in memory, $stack bytes: $name" >&2
    done <list >spilled
    check_out "${file%.ptxas} keeps registers in registers" '' 'cat spilled'
done
finish
