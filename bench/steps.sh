# steps.sh - whole programs, timed: source it. Sets STEPS_DIR, a temporary folder with
#
#   shapes.h5   2,000 pictures of 32 x 32           photos.h5   128 JPEGs of 500 x 375
#   pixels.h5   the same, 224 x 224 decoded
#
# shellcheck shell=bash
export PATH="$BUILD:$PATH" HDF5_USE_FILE_LOCKING=FALSE

steps_begin() {
    STEPS_DIR=$(mktemp -d)
    trap 'rm -rf "$STEPS_DIR"' EXIT
    mkdir "$STEPS_DIR/photos"
    "$BUILD/examples/draw-shapes" "$STEPS_DIR/shapes" 200 1
    "$BUILD/bench/draw_photos" "$STEPS_DIR/photos" 128
    semppl-prep -q --pixels 32 -o "$STEPS_DIR/shapes.h5" "$STEPS_DIR/shapes"
    semppl-prep -q -o "$STEPS_DIR/photos.h5" "$STEPS_DIR/photos"
    semppl-prep -q --pixels 224 -o "$STEPS_DIR/pixels.h5" "$STEPS_DIR/photos"
    semppl-ckpt new --preset cifar --batch 128 --large-crops 2 --small-crops 0 --steps 1000 -o "$STEPS_DIR/r18.h5"
    semppl-ckpt new --preset imagenet -o "$STEPS_DIR/r50.h5"
}

# train_rate f32|bf16: pictures a second in the median step, of ResNet-18
train_rate() {
    local n=5
    rm -f "$STEPS_DIR/log"
    semppl-train-step -q --precision "$1" -n $n -c "$STEPS_DIR/r18.h5" -o "$STEPS_DIR/out.h5" \
        --log "$STEPS_DIR/log" "$STEPS_DIR/shapes.h5"
    sed -n 's/.*"images_per_s": \([0-9.]*\).*/\1/p' "$STEPS_DIR/log" | sort -n | sed -n "$((n / 2 + 1))p"
}

# embed_rate f32|bf16 SHARD: pictures a second, of ResNet-50, start included; the shard four times
embed_rate() {
    local shard=$STEPS_DIR/$2
    semppl-embed --precision "$1" -c "$STEPS_DIR/r50.h5" -o "$STEPS_DIR/out.h5" \
        "$shard" "$shard" "$shard" "$shard" 2>&1 |
        sed -n 's/.* pictures in .* s, \([0-9]*\) a second.*/\1/p'
}
