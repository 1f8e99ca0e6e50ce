# steps.sh - whole programs, timed: source it. Sets STEPS_DIR, a temporary folder with
#
#   shapes.h5   2,000 pictures of 32 x 32           photos.h5   128 JPEGs of 500 x 375, also in photos/
#   pixels.h5   the same, 224 x 224 decoded
#
#   r18.h5      CIFAR ResNet-18, batch 128, 2 large crops       r50.h5   ResNet-50 at 224
#   r18m.h5     the same, 4 large crops and 2 small ones        r50t.h5  the same, batch 16, 2 large crops
#
# and PRECISIONS, what this machine computes fast: f32, and bf16 if it has instructions for it.
#
# The caller may set STEPS_TIMES, the steps to do (3), and DEVICE, where to do them (cpu).
#
# shellcheck shell=bash
# shellcheck disable=SC2034
PRECISIONS=f32
if grep -qw -e amx_bf16 -e avx512_bf16 /proc/cpuinfo; then PRECISIONS='f32 bf16'; fi
export PATH="$BUILD:$PATH" HDF5_USE_FILE_LOCKING=FALSE

steps_begin() {
    STEPS_DIR=$(mktemp -d)
    trap 'rm -rf "$STEPS_DIR"' EXIT
    mkdir -p "$STEPS_DIR"/photos/{even,odd}
    "$BUILD/examples/draw-shapes" "$STEPS_DIR/shapes" 200 1
    "$BUILD/bench/draw_photos" "$STEPS_DIR/photos" 128
    mv "$STEPS_DIR"/photos/*[02468].jpg "$STEPS_DIR/photos/even" # two classes
    mv "$STEPS_DIR"/photos/*[13579].jpg "$STEPS_DIR/photos/odd"
    semppl-prep -q --pixels 32 -o "$STEPS_DIR/shapes.h5" "$STEPS_DIR/shapes"
    semppl-prep -q -o "$STEPS_DIR/photos.h5" "$STEPS_DIR/photos"
    semppl-prep -q --pixels 224 -o "$STEPS_DIR/pixels.h5" "$STEPS_DIR/photos"
    semppl-ckpt new --preset cifar --batch 128 --large-crops 2 --small-crops 0 --steps 1000 -o "$STEPS_DIR/r18.h5"
    semppl-ckpt new --preset cifar --batch 128 --large-crops 4 --small-crops 2 --steps 1000 -o "$STEPS_DIR/r18m.h5"
    semppl-ckpt new --preset imagenet --batch 16 --large-crops 2 --small-crops 0 --steps 1000 -o "$STEPS_DIR/r50t.h5"
    semppl-ckpt new --preset imagenet -o "$STEPS_DIR/r50.h5"
}

# train_rate f32|bf16 CHECKPOINT SHARD: pictures a second in the median step
train_rate() {
    local n=${STEPS_TIMES:-3}
    rm -f "$STEPS_DIR/log"
    semppl-train-step -q --device "${DEVICE:-cpu}" --precision "$1" -n "$n" -c "$STEPS_DIR/$2" -o "$STEPS_DIR/out.h5" \
        --log "$STEPS_DIR/log" "$STEPS_DIR/$3"
    sed -n 's/.*"images_per_s": \([0-9.]*\).*/\1/p' "$STEPS_DIR/log" | sort -n | sed -n "$((n / 2 + 1))p"
}

# Seconds of semppl-embed for a shard, so many times
embed_seconds() { # f32|bf16 SHARD TIMES
    local shards=() start=$EPOCHREALTIME
    for _ in $(seq "$3"); do shards+=("$STEPS_DIR/$2"); done
    semppl-embed -q --device "${DEVICE:-cpu}" --precision "$1" -c "$STEPS_DIR/r50.h5" -o "$STEPS_DIR/out.h5" "${shards[@]}"
    awk -v from="$start" -v to="$EPOCHREALTIME" 'BEGIN { print to - from }'
}

# embed_rate f32|bf16 SHARD: pictures a second of ResNet-50 once it has started, and the seconds that the start takes
embed_rate() {
    awk -v one="$(embed_seconds "$1" "$2" 1)" -v three="$(embed_seconds "$1" "$2" 3)" 'BEGIN {
        each = (three - one) / 2
        printf "%.1f %.1f\n", 128 / each, (one > each ? one - each : 0)
    }'
}
