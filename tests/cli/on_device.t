#!/usr/bin/env bash
# Programs on a CUDA device, a fake one unless SEMPPL_CUDA names another: they do what they do on the CPU, and training
# on it is a function of checkpoint, data and n.
# shellcheck source=tests/cli/lib.sh disable=SC2016
. "${BASH_SOURCE[0]%/*}/lib.sh"

export SEMPPL_CUDA=${SEMPPL_CUDA:-$BUILD/fake/libsemppl-cuda.so} SEMPPL_CACHE=$PWD/cache SEMPPL_ENGINES=2 # so that engines are chosen once, and soon
if [ ! -e "$SEMPPL_CUDA" ]; then
    skip 'programs on a device' 'no fake one is built'
    finish
    exit
fi
"$BUILD"/examples/draw-shapes photos 4 1 >/dev/null
semppl-prep -q --labels-per-class 2 --pixels 16 -o train.h5 photos
semppl-ckpt new --preset cifar --encoder resnet18 --width 0.125 --stem small --large-side 8 --hidden 32 --dim 8 --batch 8 \
    --small-crops 1 --small-side 8 --invariance S --queue 8 --neighbours 3 --steps 40 -o 0.h5

train() { semppl-train-step -q --device cuda "$@" train.h5; }
same() { semppl-ckpt compare "$1" "$2"; }
first() { head -n 1 "$2" | sed -n "s/.*\"$1\": \\([^,}]*\\).*/\\1/p"; }
close() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(d * d <= (1e-3 * b) ^ 2) }'; } # NUMBER NUMBER

check 'four steps'                  'train -j 1 -n 4 -c 0.h5 -o 4.h5 --precision f32 --log log'
check 'two steps, then two'         'train -j 2 -n 2 -c 0.h5 -o 2.h5 --precision f32 && train -n 2 -c 2.h5 -o 22.h5 --precision f32'
check 'are four, whatever -j'       'same 4.h5 22.h5'
check_exit 1 'and not two'          'same 4.h5 2.h5'
check 'the CPU does likewise'       'semppl-train-step -q --device cpu --precision f32 -n 1 -c 0.h5 -o c.h5 --log clog train.h5'
check 'as the first loss tells'     'close "$(first loss log)" "$(first loss clog)"'
check 'in micro-batches'            'train -n 2 --set micro_batch=4 -c 0.h5 -o m2.h5 --precision f32'
check 'the same bits, however cut'  'train -n 1 --set micro_batch=4 -c 0.h5 -o m1.h5 --precision f32 &&
    train -n 1 -c m1.h5 -o m11.h5 --precision f32 && same m2.h5 m11.h5'
check 'in bfloat16'                 'train -n 1 --precision bf16 -c 0.h5 -o b.h5'
check 'in float16'                  'train -n 1 --precision f16 -c 0.h5 -o h.h5'
check 'its loss scale is recorded'  'semppl-ckpt show h.h5 | grep -q "\"precision\": \"f16\", \"loss_scale\": 1024"'
check_err 6 'a loss scale that is too large' 'lower one' 'train -n 1 --precision f16 --loss-scale 16777216 -c 0.h5 -o x.h5'
check 'features in float16'         'semppl-embed -q --precision f16 --device cuda -c h.h5 -o h16.h5 train.h5'
check 'in TF32'                     'train -n 1 --precision f32 -c 0.h5 -o f.h5 && train -n 1 --precision tf32 -c 0.h5 -o t.h5'
check_exit 1 'which is not float32' 'same f.h5 t.h5'
check 'the same again'              'train -n 1 --precision tf32 -c 0.h5 -o t2.h5 && same t.h5 t2.h5'
check 'as the history tells'        'semppl-ckpt show t.h5 | grep -q "\"precision\": \"tf32\""'
check 'features in TF32'            'semppl-embed -q --precision tf32 --device cuda -c t.h5 -o t32.h5 train.h5 &&
    semppl-embed -q --precision f32 --device cuda -c t.h5 -o f32.h5 train.h5'
# of up to 4.4; off by 0.052 at most, in bfloat16 by 0.4
check 'near those of float32'       'h5diff -d 0.1 t32.h5 f32.h5 x'
check_exit 1 'and not the same'     'h5diff -q t32.h5 f32.h5 x'
check 'a dump of a step'            'train -n 1 --precision f32 --dump-step d.h5 -c 4.h5 -o 5.h5'

embed() { semppl-embed -q --precision f32 -c 4.h5 "$@" train.h5; }
check 'features'                    'embed --device cuda -o e.h5 && embed --device cpu -o c.h5'
check 'near those of the CPU'       'h5diff -d 1e-3 e.h5 c.h5 x'
check 'projections'                 'embed --device cuda --layer projection -o p.h5'
check_same 'neighbours of the same vectors: the same bits' 'semppl-knn -q -k 3 --device cuda e.h5' \
    'semppl-knn -q -k 3 --device cpu e.h5'
check_same 'in little memory too'   'semppl-knn -q -k 3 --device cuda --mem 1Mi e.h5' 'semppl-knn -q -k 3 --device cpu e.h5'
check 'a linear probe'              'semppl-eval linear -q --device cuda --allow-overlap -b e.h5 e.h5'
check_err 5 'a step that needs more memory than there is' 'are available on cuda:0 ' \
    'train -n 1 --set batch=1048576 -c 0.h5 -o x.h5'
# The device of tests can have less: a step of 0.2 GB beside 1.2 GB that kernels may take
SEMPPL_SHIM_MEMORY=1220000000
large() { train -n 0 --precision f32 --set batch=32 --set large_side=64 -c 0.h5 -o x.h5 "$@"; }
if [ "${SEMPPL_CUDA##*/fake/}" != "$SEMPPL_CUDA" ]; then
    check 'a large one fits'        large
    export SEMPPL_SHIM_MEMORY
    check_err 5 'in little memory it does not' '1.2 GB are available on cuda:0 .*: --set micro_batch=8 makes that' large
    check_err 5 'nor in larger pieces' 'micro_batch=8 makes that' 'large --set micro_batch=16'
    check 'but as it says'          'large --set micro_batch=8'
fi
finish
