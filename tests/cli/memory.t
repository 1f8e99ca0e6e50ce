#!/usr/bin/env bash
# No memory: one sentence, status 5 and no half file, whichever allocation fails; and nothing hangs
# shellcheck source=tests/cli/lib.sh disable=SC2034
. "$(dirname "$0")/lib.sh"
data=$TOP/tests/data
failing=$BUILD/tests/cli/failing.so
mkdir -p photos/cat photos/dog
cp "$data"/{rgb,grey,tall,turned6}.jpg photos/cat
cp "$data"/{cmyk,progressive,subsampled}.jpg "$data/rgb.png" photos/dog
cp "$data/alpha.png" photos && cp photos/cat/rgb.jpg photos/again.jpg

semppl-prep -q --pixels 16 -o train.h5 photos
semppl-ckpt new --preset cifar --width 0.125 --batch 4 --steps 4 -o 0.h5
semppl-train-step -q -n 1 -c 0.h5 -o 1.h5 --log one.jsonl train.h5
semppl-embed -q -c 1.h5 -o bank.h5 train.h5

# COMMAND, which makes the file out, with an allocation that fails, for some twenty of them: either it says so in one
# sentence, or it does without, and makes the same bytes.
whichever_fails() {
    local n=0 i=1 rc
    rm -f out
    eval "env FAILING_COUNT=count LD_PRELOAD=$failing $1" >/dev/null 2>.err2 || return 1
    read -r n <count && cp out whole || return 1
    while [ "$i" -le "$n" ]; do
        rm -f out
        rc=0
        eval "timeout 60 env FAILING_AT=$i LD_PRELOAD=$failing $1" >/dev/null 2>.err2 || rc=$?
        if ! { [ $rc = 5 ] && [ ! -e out ] && [ "$(grep -ciE 'no memory|cannot allocate memory' .err2)" = 1 ]; } &&
            ! { [ $rc = 0 ] && cmp -s out whole; }; then
            echo "allocation $i of $n: status $rc" && cat .err2
            return 1
        fi >&2
        i=$((i + 1 + n / 20))
    done
}
one='-j1 --device cpu'
check 'prep'               'whichever_fails "semppl-prep -j2 --ledger l.tsv --saliency --pixels 16 -o out photos"'
check 'prep, masks as PNG' 'whichever_fails "semppl-prep -j1 --saliency --short-side 20 -o out photos"'
check 'a new checkpoint'   'whichever_fails "semppl-ckpt new --preset cifar --width 0.125 --batch 4 -o out"'
check 'export'             'whichever_fails "semppl-ckpt export --as-is 1.h5 -o out"'
check 'train-step'         'whichever_fails "semppl-train-step $one -n 1 -c 1.h5 -o out train.h5"'
check 'embed'              'whichever_fails "semppl-embed $one -c 1.h5 -o out train.h5"'
check 'knn'                'whichever_fails "semppl-knn $one --show-neighbours 2 -o out bank.h5"'
check 'knn, with a sheet' 'whichever_fails "semppl-knn $one --sheet out.png --images train.h5 bank.h5 && mv out.png out"'
check 'knn, as HDF5'       'whichever_fails "semppl-knn $one --hdf5 -o out -b bank.h5 bank.h5"'
check 'a linear probe' \
    'whichever_fails "semppl-eval linear $one --allow-overlap --json -b bank.h5 bank.h5 >text && mv text out"'

# A line that does not fit is no end of the list.
long_line() { cat start && head -c 140000000 /dev/zero | tr '\0' x; }
little() { (ulimit -v 250000 && "$@"); }
printf 'cat/rgb.jpg\tcat\n' >start
check_err 5 'labels too long for the memory' 'Cannot allocate memory' \
    'long_line | little semppl-prep --labels /dev/stdin -o l.h5 photos'
echo photos/cat/rgb.jpg >start
check_err 5 'a list too long for it'         'Cannot allocate memory' 'long_line | little semppl-prep --files-from - -o l.h5'
cp one.jsonl start
check_err 5 'a log'                          'Cannot allocate memory' \
    'long_line | little semppl-eval knn --allow-overlap --report r --log /dev/stdin -b bank.h5 bank.h5'

# OpenBLAS would start threads before main(), and hang at the end if there was no address space for them. A program has
# to end by itself, whatever it says; 127 is the loader's.
ends() { # COMMAND
    local kb rc
    for kb in 140000 160000 180000 200000 220000 240000 280000; do
        rc=0
        eval "(ulimit -v $kb && timeout 60 $1)" >/dev/null 2>.err2 || rc=$?
        [ $rc -lt 124 ] || [ $rc = 127 ] || { echo "$kb kB: status $rc" >&2 && return 1; }
    done
}
for program in prep ckpt train-step embed knn eval; do
    check "a limit on address space: $program" 'ends "semppl-$program --version"'
done
finish
