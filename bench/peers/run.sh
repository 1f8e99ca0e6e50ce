#!/usr/bin/env bash
# run.sh - what `make bench-peers` does: fetches the peers, then alternates ours and theirs: 15 to 40 minutes.
#
#   BUILD=build bench/peers/run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
BUILD=$(cd "${BUILD:-build}" && pwd)
# shellcheck source=bench/steps.sh
. bench/steps.sh
# shellcheck source=bench/peers/fetch.sh
. bench/peers/fetch.sh
fetch
steps_begin
rounds=2

# Rates of one round: lines of the work, a tab, who, a tab and the rate. Embedding is timed once both have started.
ours() {
    local rate rest
    for p in $PRECISIONS; do
        printf 'train ResNet-18, 2 crops\tours %s\t%s\n' "$p" "$(train_rate "$p" r18.h5 shapes.h5)"
        printf 'train ResNet-18, 4 large and 2 small crops\tours %s\t%s\n' "$p" "$(train_rate "$p" r18m.h5 shapes.h5)"
        printf 'train ResNet-50, 2 crops\tours %s\t%s\n' "$p" "$(train_rate "$p" r50t.h5 pixels.h5)"
        read -r rate rest <<<"$(embed_rate "$p" pixels.h5)"
        printf 'embed\tours %s\t%s\n' "$p" "$rate"
        read -r rate rest <<<"$(embed_rate "$p" photos.h5)"
        printf 'embed from JPEG\tours %s\t%s\n' "$p" "$rate"
    done
    "$BUILD/bench/bench" "$STEPS_DIR/photos.h5" search photos | awk -F ' *\\| *' '
        /^\| (1|20) \|/ { printf "neighbours, k %d\tours\t%s\n", $2, $3 }
        /^\| decode, random resized crop to 224 \|/ { printf "decode and crop, one core\tours\t%s\n", $3 }'
}

# theirs PYTHON WORK [MODE]: likewise, of the networks in one mode only (modes.py)
theirs() {
    "$1" "bench/peers/$2.py" "$STEPS_DIR/photos" "${@:3}" || echo "bench/peers/$2.py failed" >&2
}

works=()
if have PyTorch "$python" -c 'import torch'; then works+=(train embed); fi
if have Pillow "$python" -c 'import PIL'; then works+=(decode); fi
if have torchvision "$python" -c 'import torchvision'; then works+=(decode_torchvision); fi
if have faiss "$python" -c 'import faiss'; then works+=(search); fi
old=()
if have "the distribution's PyTorch" old_python -c 'import torch'; then old=(train embed); fi

{
    for _ in $(seq $rounds); do
        ours
        for work in "${works[@]}"; do theirs "$python" "$work"; done
    done
    # takes minutes for what the others do in seconds: once, in its best mode
    for work in "${old[@]}"; do theirs old_python "$work" "${PRECISIONS##* } channels_last"; done
} | tee >(cat >&2) | python3 bench/peers/ratios.py

if have oneDNN test -x "$onednn"; then
    "$BUILD/bench/bench" "$STEPS_DIR/photos.h5" layers >"$STEPS_DIR/ours.md"
    "$onednn" >"$STEPS_DIR/theirs.md" && python3 bench/peers/layers.py "$STEPS_DIR"/{ours,theirs}.md ||
        echo "bench/peers/onednn.c failed" >&2
fi
