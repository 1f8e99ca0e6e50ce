#!/usr/bin/env bash
# run.sh - what `make bench-peers` does: installs PyTorch, Pillow and faiss, then alternates ours and theirs.
#
#   BUILD=build bench/peers/run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
BUILD=$(cd "${BUILD:-build}" && pwd)
# shellcheck source=bench/steps.sh
. bench/steps.sh

# Packages by their names only. PyTorch without its packages of CUDA: gigabytes that a CPU does not need, but for the
# small libraries that it is linked with.
python="$BUILD/peers/bin/python"
if [ ! -x "$python" ]; then
    python3 -m venv --system-site-packages "$BUILD/peers"
    "$python" -m pip install -q numpy pillow filelock typing_extensions sympy networkx jinja2 fsspec
    "$python" -m pip install -q faiss-cpu || echo "faiss cannot be installed: its rows are left out" >&2
    "$python" -m pip install -q --no-deps torch nvidia-cufile nvidia-cusparselt-cu13 nvidia-nvshmem-cu13 \
        nvidia-nccl-cu13 || true
fi
if ! "$python" -c 'import torch' 2>/dev/null; then
    # The wheel wants libraries of CUDA that are not here: the distribution's package has none.
    "$python" -m pip uninstall -q -y torch || true
    "$python" -c 'import torch' ||
        { echo "PyTorch does not start: install your distribution's package, e.g. python3-torch" >&2; exit 1; }
fi

steps_begin
rounds=2

# Rates of one round: lines of the work, a tab, who, a tab and the rate. Embedding is timed once both have started.
ours() {
    local rate rest
    for p in f32 bf16; do
        printf 'train ResNet-18, 2 crops\tours %s\t%s\n' $p "$(train_rate $p r18.h5 shapes.h5)"
        printf 'train ResNet-18, 4 large and 2 small crops\tours %s\t%s\n' $p "$(train_rate $p r18m.h5 shapes.h5)"
        printf 'train ResNet-50, 2 crops\tours %s\t%s\n' $p "$(train_rate $p r50t.h5 pixels.h5)"
        read -r rate rest <<<"$(embed_rate $p pixels.h5)"
        printf 'embed\tours %s\t%s\n' $p "$rate"
        read -r rate rest <<<"$(embed_rate $p photos.h5)"
        printf 'embed from JPEG\tours %s\t%s\n' $p "$rate"
    done
    "$BUILD/bench/bench" "$STEPS_DIR/photos.h5" search photos | awk -F ' *\\| *' '
        /^\| (1|20) \|/ { printf "neighbours, k %d\tours\t%s\n", $2, $3 }
        /^\| decode, random resized crop to 224 \|/ { printf "decode and crop, one core\tours\t%s\n", $3 }'
}
theirs() {
    for work in train embed decode search; do
        "$python" "bench/peers/$work.py" "$STEPS_DIR/photos" || echo "bench/peers/$work.py failed" >&2
    done
}

for _ in $(seq $rounds); do
    ours
    theirs
done | tee >(cat >&2) | "$python" bench/peers/ratios.py
