#!/usr/bin/env bash
# examples/: each runs as written, on a few drawn pictures; and goes on where it was interrupted
# shellcheck source=tests/cli/lib.sh disable=SC2016
. "${BASH_SOURCE[0]%/*}/lib.sh"

draw="$BUILD/examples/draw-shapes"
quietly() { "$@" >out 2>err; }

# -- cifar10.mk
mkdir cifar
"$draw" cifar/train 12 1
"$draw" cifar/test 4 2
cifar() {
    quietly make -s -f "$TOP/examples/cifar10.mk" DATA=cifar OUT=c WIDTH=0.125 BATCH=12 STEPS=4 PIECE=2 \
        SEEDS='1 2' LABELS='40 100' "$@"
}
check 'labels and seeds'             'cifar && cp out labels'
check_out 'a row for each number'    'full 40 2 full 100 2 ' 'tail -n +2 labels | awk "{ printf \"%s %s %s \", \$1, \$2, \$3 }"'
check 'with two shares'              'tail -n +2 labels | grep -vE "([0-9]+\.[0-9] % +\( *[0-9.]+\) *){2}$" | wc -l | grep -qx 0'
check_out 'four steps a run'         '4' 'wc -l <c/full.40.1/log.jsonl'
check 'other variants'               'cifar LABELS=40 VARIANTS="oracle no-votes no-invariance" c/oracle.40.1/scores'
rm c/labels.txt c/full.100.2/{scores,trained.h5}
semppl-train-step -q -n 3 -c c/full.100.2/0.h5 -o c/full.100.2/running.h5 c/train.100.2.h5
check 'an interrupted run goes on'   'cifar && cmp out labels && semppl-ckpt show c/full.100.2/trained.h5 | grep -q "^step *4 of 4"'
check 'nothing is made twice'        'cifar && ! grep -q semppl err out'

# -- imagenet.mk
mkdir -p imagenet
for half in train val; do
    "$draw" imagenet/$half 4 $((${#half} + 1))
    for d in imagenet/"$half"/*; do # names as in ImageNet: an id of the class and a number
        for f in "$d"/*; do mv "$f" "$d/${d##*/}_${f##*/}"; done
    done
done
find imagenet/train -name '*_0000[01].jpg' -printf '%f\n' >list
imagenet() {
    quietly make -s -f "$TOP/examples/imagenet.mk" DATA=imagenet LIST=list OUT=i STEPS=3 PIECE=2 MICRO_BATCH=4 \
        SETTINGS='--preset imagenet --width 0.125 --batch 8 --hidden 16 --dim 8 --large-side 32 --small-side 16'
}
check 'a few labels of ImageNet'     'imagenet'
check 'two scores'                   'grep -q "i/linear.txt" out && grep -q "i/knn.txt" out'
check_out 'labels of the list only'  '20' 'semppl-ckpt show --json i/trained.h5 >show && wc -l <i/labels.tsv'
check 'all steps'                    'grep -q "\"step\": 3, \"total_steps\": 3" show'

# -- label-my-photos.sh
mkdir photos
"$draw" photos 4 1
for d in photos/*; do mv "$d/00003.jpg" "photos/${d##*/}.jpg"; done
check 'loose photographs'            'STEPS=2 quietly "$TOP/examples/label-my-photos.sh" photos o'
check_out 'each has a line'          '10' 'wc -l <o/labels.tsv'
check 'and a picture of neighbours'  '[ -s o/neighbours.png ]'
check 'once more changes nothing'    'cp o/labels.tsv was && STEPS=2 quietly "$TOP/examples/label-my-photos.sh" photos o && cmp was o/labels.tsv'
check_exit 1 'which folder?'         '"$TOP/examples/label-my-photos.sh"'
finish
