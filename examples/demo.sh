#!/usr/bin/env bash
# demo.sh - from a folder of pictures and a few labels to a label for every picture, in a page of shell.
#
#   BUILD=build DATA=folder OUT=folder examples/demo.sh
#
# Without DATA it draws 5,000 pictures of ten shapes. DATA is a folder whose sub-folders are classes. Ten pictures a
# class keep their label; the others' are hidden, and serve only to measure. Everything is made in OUT.
set -euo pipefail
BUILD=$(cd "${BUILD:-build}" && pwd)
DATA=${DATA:-}
OUT=${OUT:-$BUILD/demo}
STEPS=${STEPS:-1400}
export PATH="$BUILD:$PATH"
mkdir -p "$OUT"
[ -z "$DATA" ] || DATA=$(cd "$DATA" && pwd)
cd "$OUT"
views=()
say() { printf '\n== %s\n' "$*"; }

if [ -z "$DATA" ]; then
    say "drawing 5,000 pictures of ten shapes"
    "$BUILD/examples/draw-shapes" shapes 500 1
    DATA=shapes
    # colours say nothing about these classes, so views lose them
    views=(--hue 0.5 --saturation 0.8 --contrast 0.6 --grey 0.4)
fi

say "preparing: 32 x 32 pixels, ten labels a class, the others hidden"
semppl-prep --pixels 32 --labels-per-class 10 --ledger ledger.tsv -o train.h5 "$DATA"

# The labelled rows of an embedding are the bank, the others the test.
accuracy() { semppl-eval "$1" -q --json "$2" | sed 's/.*"top1": *\([0-9.]*\).*/\1/'; }

say "a fresh encoder, and what can be had without training"
# A short run on few labels: three of four places in a batch go to labelled pictures, and they count as much as views.
semppl-ckpt new --preset cifar --stem imagenet --width 0.5 --batch 128 --steps "$STEPS" --base-lr 10 \
    --large-area-min 0.5 "${views[@]}" --alpha 1 --labelled-ratio 0.33 --queue 400 -o 0.h5
semppl-embed --layer pixels -o pixels.h5 train.h5
semppl-embed -c 0.h5 -o untrained.h5 train.h5
pixels=$(accuracy knn pixels.h5)
untrained=$(accuracy knn untrained.h5)

say "$STEPS steps of training"
rm -f train.jsonl
semppl-train-step -n "$STEPS" -c 0.h5 -o 1.h5 --log train.jsonl train.h5

say "embedding and labelling"
semppl-embed -c 1.h5 -o trained.h5 train.h5
semppl-knn --sheet neighbours.png --images train.h5 -o labels.tsv trained.h5
knn=$(accuracy knn trained.h5)
linear=$(accuracy linear trained.h5)
semppl-eval knn -q --report report --log train.jsonl trained.h5 >report.txt
# A key begins with the folder that the picture lies in.
given=$(awk -F '\t' '{ sub("/.*", "", $1); right += $1 == $2 } END { print right / NR }' labels.tsv)

percent() { awk -v name="$1" -v x="$2" 'BEGIN { printf "    %-40s %5.1f %%\n", name, 100 * x }'; }
say "hidden labels that come out right"
percent 'raw pixels, nearest neighbours' "$pixels"
percent 'untrained encoder, nearest neighbours' "$untrained"
percent 'trained encoder, nearest neighbours' "$knn"
percent 'trained encoder, linear probe' "$linear"
percent "the $(wc -l <labels.tsv) labels given" "$given"
echo
echo "labels:   $OUT/labels.tsv"
echo "pictures:"
for f in neighbours.png report/*.png; do echo "    $OUT/$f"; done
