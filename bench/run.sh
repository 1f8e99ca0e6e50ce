#!/usr/bin/env bash
# run.sh - every table of `make bench`, on standard output and in bench/RESULTS.md, with the machine.
#
#   BUILD=build bench/run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BUILD=$(cd "${BUILD:-build}" && pwd)
here=$PWD
# shellcheck source=bench/steps.sh
. bench/steps.sh
steps_begin

# First line of a field of /proc/cpuinfo
cpu() { sed -n "s/^$1[[:space:]]*: //p" /proc/cpuinfo | head -n 1; }

machine() {
    echo "# What semppl-tools reaches, and what the machine can do"
    echo
    echo "| | |"
    echo "|:--|:--|"
    echo "| processor | $(cpu 'model name') (family $(cpu 'cpu family'), model $(cpu model)), $(nproc) CPUs |"
    echo "| date | $(date -u +%Y-%m-%d) |"
    echo "| commit | $(git -C "$here" describe --always --dirty --exclude '*' 2>/dev/null || echo unknown) |"
    echo "| load when it began | $(cut -d ' ' -f 1 /proc/loadavg) |"
    echo
    echo "Rates are of all CPUs together, unless marked. A share is of the ceiling that was measured in the same run."
    echo
}

# The rate of one of the ceilings, in GF/s; and pictures/s at FLOPS each
ceiling() { sed -n "s/^| $1 | \([0-9.]*\) .*/\1/p" "$STEPS_DIR/table.md"; }
row() { # NAME RATE GFLOP CEILING
    awk -v name="$1" -v rate="$2" -v flop="$3" -v peak="$(ceiling "$4")" -v what="$4" 'BEGIN {
        floor = peak / flop
        printf "| %s | %.1f | %.0f %% | %.0f (%s) |\n", name, rate, floor ? 100 * rate / floor : 0, floor, what
    }'
}

# Operations of the convolutions, in units of 10^9 a picture: forward passes of both networks, then two passes back. A
# forward pass of ResNet-18 takes 1.11 at 32 pixels and 0.28 at 16, of ResNet-50 8.2.
steps() {
    echo "## Whole programs: pictures a second"
    echo
    echo "| program | pictures/s | share | floor: convolutions at the peak |"
    echo "|:--|--:|--:|:--|"
    local peak shard rate start
    for p in $PRECISIONS; do
        peak='float32 multiply-adds'
        [ "$p" = f32 ] || peak='bfloat16 products'
        row "semppl-train-step, CIFAR ResNet-18, batch 128, 2 crops, $p" "$(train_rate "$p" r18.h5 shapes.h5)" 8.9 "$peak"
        row "semppl-train-step, CIFAR ResNet-18, batch 128, 4 large and 2 small crops, $p" \
            "$(train_rate "$p" r18m.h5 shapes.h5)" 19.4 "$peak"
        row "semppl-train-step, ResNet-50 at 224, batch 16, 2 crops, $p" "$(train_rate "$p" r50t.h5 pixels.h5)" 65.6 "$peak"
        for shard in pixels photos; do
            read -r rate start <<<"$(embed_rate "$p" $shard.h5)"
            row "semppl-embed, ResNet-50 at 224, ${shard/photos/JPEGs of 500 x 375}, $p, after $start s" "$rate" 8.2 "$peak"
        done
    done
}

{
    machine
    "$BUILD/bench/bench" "$STEPS_DIR/photos.h5"
    steps
} | tee "$STEPS_DIR/table.md"
cp "$STEPS_DIR/table.md" bench/RESULTS.md
