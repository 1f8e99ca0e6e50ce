#!/usr/bin/env bash
# label-my-photos.sh - a folder of photographs, some sorted into sub-folders, the others lying loose: which sub-folder
# would each loose one belong to?
#
#   PATH=$PWD/build:$PATH examples/label-my-photos.sh photos [out]
#
# Writes out/labels.tsv (picture, class, confidence; the least certain are worth a look first) and out/neighbours.png.
# A class wants some twenty sorted pictures. Half an hour on two cores for some thousand photographs; more STEPS make
# better features. Interrupted, it goes on where it was.
set -euo pipefail
photos=${1:?which folder of photographs?}
out=${2:-labelled}
STEPS=${STEPS:-2000}
mkdir -p "$out"

# once STEP COMMAND: its output is a file that appears when it is complete
once() { [ -e "$1" ] || "${@:2}" -o "$1"; }

once "$out/photos.h5" semppl-prep --pixels 96 --ledger "$out/ledger.tsv" "$photos"
once "$out/model.h5" semppl-ckpt new --preset cifar --stem imagenet --width 0.5 --large-side 64 --batch 128 \
    --steps "$STEPS"
semppl-train-step -n "$STEPS" -c "$out/model.h5" -o "$out/model.h5" --log "$out/log.jsonl" "$out/photos.h5"
semppl-embed -c "$out/model.h5" -o "$out/embedding.h5" "$out/photos.h5"
semppl-knn --sheet "$out/neighbours.png" --images "$out/photos.h5" -o "$out/labels.tsv" "$out/embedding.h5"
echo "$(wc -l <"$out/labels.tsv") pictures were labelled: $out/labels.tsv, $out/neighbours.png"
