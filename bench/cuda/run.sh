#!/usr/bin/env bash
# run.sh - every table of `make bench-cuda`, on standard output as it is measured; those of a real device also in
# bench/RESULTS-cuda.md.
#
#   BUILD=build bench/cuda/run.sh           all, what tells most first
#   BUILD=build bench/cuda/run.sh PART      one of the parts below
#
# LIMIT=600     seconds for all of it: what runs longer is ended, what comes after is left out
#
# On the device of tests all is tiny: that proves that it runs, and the numbers mean nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/cuda/device.sh
. tests/cuda/device.sh
# shellcheck source=bench/steps.sh
. bench/steps.sh
PARTS=(programs ceilings encoders floors passes search layers kernels)
LIMIT=${LIMIT:-600}

# What the self-test says, once for all parts.
export BENCH_DEVICE=${BENCH_DEVICE:-$(semppl-ckpt selftest || :)}
found() { sed -n "s/^$1: //p" <<<"$BENCH_DEVICE" | head -n 1; }
tiny=
STEPS_TIMES=8
DEVICE=cuda
case $(found 'device 0') in
fibers,*) tiny=tiny STEPS_TIMES=2 ;;
'') echo "no CUDA device: $BENCH_DEVICE" >&2 && exit 1 ;;
esac

machine() {
    echo "# What semppl-tools reaches on a CUDA device"
    echo
    echo "| | |"
    echo "|:--|:--|"
    echo "| device | $(found 'device 0') |"
    echo "| driver, runtime | $(found driver), $(found runtime) |"
    echo "| cuBLASLt, cuDNN | $(found cuBLASLt), $(found cuDNN) |"
    echo "| processor | $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs |"
    echo "| date | $(date -u +%Y-%m-%d) |"
    echo "| commit | $(cat "$BUILD/commit" 2>/dev/null || git describe --always --dirty --exclude '*' 2>/dev/null || echo unknown) |"
    echo
    echo "A share is of the floor that follows from the ceilings, which are measured in the same run."
    echo
}

# step_row NAME CHECKPOINT SHARD: source pictures a second of the median step, and the part of it waiting for data
step_row() {
    train_rate bf16 "$2" "$3" >"$STEPS_DIR/rate"
    awk -v name="$1" -v rate="$(cat "$STEPS_DIR/rate")" '
        { match($0, /"t_data": [0-9.e+-]*/); data += substr($0, RSTART + 10, RLENGTH - 10)
          for (i = split("forward backward update", part, " "); i > 0; i--) {
              match($0, "\"t_" part[i] "\": [0-9.e+-]*")
              all += substr($0, RSTART + length(part[i]) + 6, RLENGTH - length(part[i]) - 6)
          } }
        END { printf "| %s | %.1f | %.0f %% |\n", name, rate, 100 * data / (data + all) }' "$STEPS_DIR/log"
}
embed_row() { # NAME SHARD
    local rate start
    read -r rate start <<<"$(embed_rate bf16 "$2")"
    echo "| $1, after $start s | $rate | |"
}

programs() {
    echo "## Whole programs: source pictures a second"
    echo
    echo "| program | pictures/s | waiting for data |"
    echo "|:--|--:|--:|"
    if [ -n "$tiny" ]; then
        STEPS_DIR=$(mktemp -d)
        trap 'rm -rf "$STEPS_DIR"' EXIT
        "$BUILD/examples/draw-shapes" "$STEPS_DIR/shapes" 1 1 >/dev/null
        semppl-prep -q --pixels 16 -o "$STEPS_DIR/shapes.h5" "$STEPS_DIR/shapes"
        semppl-ckpt new --preset cifar --encoder tiny --hidden 16 --dim 8 --batch 4 --large-side 16 --steps 100 -o "$STEPS_DIR/r18.h5"
        cp "$STEPS_DIR/r18.h5" "$STEPS_DIR/r50.h5"
        step_row 'semppl-train-step, tiny' r18.h5 shapes.h5
        embed_row 'semppl-embed, tiny' shapes.h5
        return
    fi
    steps_begin
    semppl-ckpt new --preset imagenet --batch 128 --steps 1000 -o "$STEPS_DIR/r50s.h5"
    semppl-ckpt new --preset cifar --batch 1024 --steps 1000 -o "$STEPS_DIR/r18l.h5"
    step_row 'SemPPL step, ResNet-50, batch 128, 4 crops of 224, 2 of 96, decoded' r50s.h5 pixels.h5
    step_row 'the same, JPEGs of 500 x 375' r50s.h5 photos.h5
    step_row 'SemPPL step, CIFAR ResNet-18, batch 1024, 2 crops' r18l.h5 shapes.h5
    embed_row 'semppl-embed, ResNet-50 at 224, decoded' pixels.h5
    embed_row 'semppl-embed, ResNet-50 at 224, JPEGs of 500 x 375' photos.h5
}

# The kernels that take most of a pass of training, as ncu sees them: time, and the shares of what memory and
# multiprocessors could do.
kernels() {
    command -v ncu >/dev/null || { echo "No table of kernels: there is no ncu (Nsight Compute)." && return; }
    echo "## Kernels of a pass of training of ResNet-50, by Nsight Compute"
    echo
    echo "| kernel | calls | ms | share of time | memory | arithmetic |"
    echo "|:--|--:|--:|--:|--:|--:|"
    local metrics=gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed
    metrics+=,sm__throughput.avg.pct_of_peak_sustained_elapsed
    ncu --clock-control none --csv --page raw --metrics $metrics "$BUILD/bench/cuda/bench" ${tiny:+"$tiny"} once 2>/dev/null |
        bench/cuda/kernels.awk
}

# Each part is a process of its own: one that fails or hangs costs the others nothing.
everything() {
    local part rc left bad=0
    machine
    for part in "${PARTS[@]}"; do
        rc=0 left=$((LIMIT - SECONDS))
        if [ "$left" -le 0 ]; then
            bad=1 && echo "Left out: $part, the $LIMIT s are over."
            continue
        fi
        timeout -k 5 "$left" bench/cuda/run.sh "$part" || rc=$?
        [ "$rc" = 0 ] || bad=1
        case $rc in
        0) ;;
        124 | 137) echo && echo "Cut off: $part, the $LIMIT s are over." && echo ;;
        *) echo && echo "Failed: $part, status $rc." && echo ;;
        esac
    done
    return "$bad"
}

case ${1-} in
'')
    rc=0
    everything | tee "$BUILD/RESULTS-cuda.md" || rc=$?
    [ -n "$tiny" ] || cp "$BUILD/RESULTS-cuda.md" bench/RESULTS-cuda.md
    exit $rc
    ;;
programs | kernels)
    "$1"
    echo
    ;;
*) "$BUILD/bench/cuda/bench" ${tiny:+"$tiny"} "$1" ;;
esac
