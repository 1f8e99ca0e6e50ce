#!/usr/bin/env bash
# run.sh - what `make check-peers` does: the same numbers by independent programs, compared one by one.
#
#   BUILD=build tests/peers/run.sh [CHECK...]     only these: steps, pixels, features, neighbours
#
# A line of the table is a group of comparisons: what was compared, how many, the largest error and where it was.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
BUILD=$(cd "${BUILD:-build}" && pwd)
# shellcheck source=bench/peers/fetch.sh
. bench/peers/fetch.sh
fetch_wheels
"$python" -c 'import faiss, h5py, numpy, PIL, torch, torchvision'
export PATH="$BUILD:$PATH" HDF5_USE_FILE_LOCKING=FALSE PYTHONDONTWRITEBYTECODE=1
DIR=$(mktemp -d)
trap 'rm -rf "$DIR"' EXIT

# peer NAME WORDS...: a program that fails without a line that says so is one more failure
peer() {
    local lines status=0
    lines=$("$python" "tests/peers/$1.py" "${@:2}") || status=$?
    [ -z "$lines" ] || printf '%s\n' "$lines"
    [ $status = 0 ] || grep -q '^FAIL' <<<"$lines" || printf 'FAIL  %s\n' "$1.py ${*:2}"
}
train() { semppl-train-step -q --precision f32 "$@"; }

# -- training steps ----

small=(--preset cifar --encoder resnet18 --width 0.25 --hidden 64 --dim 32 --batch 12 --queue 10 --steps 40
    --warmup 0 --base-ema 0.9 --weight-decay 0.01)
large=(--encoder resnet50 --width 0.25 --large-side 64 --small-side 32 --hidden 64 --dim 32 --batch 8 --queue 20
    --steps 40 --warmup 0 --base-ema 0.9 --weight-decay 0.01 --base-lr 4 --labelled-ratio 1)
six=(--large-crops 4 --small-crops 2)

# step NAME SHARD STEPS OPTIONS...: STEPS steps from a new checkpoint with OPTIONS, then one that is done again
step() {
    local name=$1 shard=$DIR/$2 steps=$3
    shift 3
    semppl-ckpt new "$@" -o "$DIR/0.h5"
    train -n "$steps" -c "$DIR/0.h5" -o "$DIR/before.h5" "$shard"
    train -n 1 -c "$DIR/before.h5" -o "$DIR/after.h5" --dump-step "$DIR/dump.h5" "$shard"
    peer nudge "$DIR"/{before,dump}.h5
    train -n 1 -c "$DIR/before.h5" -o "$DIR/after.h5" --dump-step "$DIR/dump.h5" "$shard"
    peer step "$name" "$DIR"/{before,dump,after}.h5
    peer augment "$name" "$shard" "$DIR"/{dump,after}.h5
}

steps() {
    "$BUILD/examples/draw-shapes" "$DIR/shapes" 12 1
    semppl-prep -q -o "$DIR/shapes.h5" --saliency --labels-per-class 4 "$DIR/shapes"
    "$BUILD/examples/draw-shapes" "$DIR/few" 2 2 # so few that pictures meet themselves in the queue
    semppl-prep -q -o "$DIR/few.h5" --labels-per-class 1 "$DIR/few"
    step 'ResNet-18, 4 + 2 crops' shapes.h5 6 "${small[@]}" "${six[@]}" --invariance S
    step 'ResNet-50, 4 + 2 crops' photos.h5 6 "${large[@]}" "${six[@]}"
    step 'selective kernels' photos.h5 6 "${large[@]}" "${six[@]}" --sk yes --large-side 72 --small-side 40
    step 'k 3, warm-up, threshold' few.h5 4 "${small[@]}" --neighbours 3 --warmup 0.7 --vote-threshold 0.5
    step 'alpha 0, no ratio' shapes.h5 4 "${small[@]}" --alpha 0 --labelled-ratio 0
    step 'the first step' shapes.h5 0 "${small[@]}" --padding same --shortcut needed
    step 'masks, averaged sets' shapes.h5 2 "${small[@]}" --small-crops 1 --mask-probability 0.5 --view-sets averaged \
        --aspect-min 0.5 --sigma-max 4
    step 'target orientation, T' shapes.h5 4 "${small[@]}" --loss-orientation target --invariance T --small-crops 1 \
        --optimizer sgd --lr-schedule constant --ema-schedule constant --base-lr 0.1
    step 'R, no own class, enqueue after' shapes.h5 6 "${small[@]}" --invariance R --small-crops 1 --exclude-class yes \
        --enqueue after --vote-query projection --vote-views same --tie-break label --optimizer adamw --base-lr 0.01
    step 'draws vote, own slots too' few.h5 6 "${small[@]}" --neighbours 3 --vote-rule draw --exclude-self no \
        --vote-views one --invariance S --loss-orientation target
    step 'oracle, micro-batches' shapes.h5 6 "${small[@]}" --pseudo-labels oracle --micro-batch 4 --negatives 20 \
        --labelled-again no
    step 'labels that are given only' shapes.h5 6 "${small[@]}" --pseudo-labels none --encoder tiny --invariance R \
        --loss-orientation target
}

# -- the others ----

pixels() {
    peer pixels "$BUILD/tests/peers/decode" tests/data/{rgb,grey,progressive,subsampled,tall,turned3,turned6}.jpg \
        tests/data/{rgb,palette}.png "$DIR"/photos/0000[0-3].jpg
}

features() {
    semppl-prep -q -o "$DIR/pixels.h5" --pixels 64 "$DIR/photos"
    semppl-ckpt new --encoder resnet50 --padding torch --zero-init-last-bn no --invariance none \
        --large-crops 1 --small-crops 0 --large-side 64 --hidden 16 --dim 8 --batch 16 --eval-crop 1 --steps 9 \
        -o "$DIR/0.h5"
    train -n 2 -c "$DIR/0.h5" -o "$DIR/1.h5" "$DIR/pixels.h5"
    semppl-embed -q --precision f32 -c "$DIR/1.h5" -o "$DIR/features.h5" "$DIR/pixels.h5"
    peer features "$DIR"/{1,pixels,features}.h5
}

neighbours() {
    peer neighbours write "$DIR"/{bank,queries}.h5
    semppl-knn -q --hdf5 -k 20 --show-neighbours 20 -b "$DIR/bank.h5" -o "$DIR/labels.h5" "$DIR/queries.h5"
    peer neighbours check "$DIR"/{bank,queries,labels}.h5
}

# Pictures of 500 x 375, of four classes that mean nothing.
mkdir "$DIR/photos"
"$BUILD/bench/draw_photos" "$DIR/photos" 40
for n in {0..39}; do printf '%05d.jpg\tclass %d\n' "$n" $((n % 4)); done >"$DIR/labels"
semppl-prep -q -o "$DIR/photos.h5" -l "$DIR/labels" --labels-per-class 4 "$DIR/photos"

[ $# -gt 0 ] || set -- steps pixels features neighbours
for check; do $check; done | tee "$DIR/table"
passed=$(grep -c '^ok' "$DIR/table" || true) failed=$(grep -c '^FAIL' "$DIR/table" || true)
echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" = 0 ]
