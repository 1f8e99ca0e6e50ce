#!/usr/bin/env bash
# semppl-embed: vectors of pictures, in order, from files and pipes
# shellcheck source=tests/cli/lib.sh disable=SC2016,SC2034
. "${BASH_SOURCE[0]%/*}/lib.sh"

"$BUILD"/examples/draw-shapes photos 4 1 >/dev/null
"$BUILD"/examples/draw-shapes test 2 2 >/dev/null
semppl-prep -q --labels-per-class 2 -o train.h5 photos
semppl-prep -q -o test.h5 test
semppl-ckpt new --preset cifar --width 0.125 --hidden 16 --dim 8 --batch 8 -o 0.h5

# what a file of embeddings holds, its history aside; the stream on standard input row by row
dump() { h5dump -d x -d id -d label -d truth -d key "$1" | tail -n +2; }
list() { semppl-knn -q -k 3 --show-neighbours 3 -b e.h5; }

check      'a shard is embedded'                'semppl-embed -c 0.h5 -o e.h5 train.h5'
check_same 'to a pipe too'                      'dump e.h5' 'semppl-embed -c 0.h5 train.h5 >p.h5; dump p.h5'
check_same 'from a pipe too'                    'dump e.h5' 'semppl-embed -c 0.h5 <train.h5 >p.h5; dump p.h5'
check_same 'with one thread and three'          'semppl-embed -j1 -c 0.h5 train.h5 >p.h5; dump p.h5' \
                                                'semppl-embed -j3 -c 0.h5 train.h5 >p.h5; dump p.h5'
check_same 'to the same bytes, whatever was in memory before' \
    'MALLOC_PERTURB_=85 semppl-embed -c 0.h5 train.h5' 'MALLOC_PERTURB_=170 semppl-embed -c 0.h5 train.h5'
check_same 'all columns are carried over'       'for d in key key_offset id label truth classes; do h5dump -d $d train.h5 | tail -n +2; done' \
                                                'for d in key key_offset id label truth classes; do h5dump -d $d e.h5 | tail -n +2; done'
check_same 'two shards are one stream'          'semppl-embed -c 0.h5 train.h5 test.h5 | list' \
                                                'cat train.h5 test.h5 | semppl-embed -c 0.h5 | list'
check_same 'and one file'                       'semppl-embed -c 0.h5 train.h5 test.h5 | list' \
                                                'semppl-embed -c 0.h5 -o all.h5 train.h5 test.h5 && list <all.h5'
check_same 'sixty rows of them'                 'echo 60' 'list <all.h5 | wc -l'
check_same 'the target is the online network at first' \
    'dump e.h5' 'semppl-embed -c 0.h5 --net target train.h5 >p.h5; dump p.h5'
check 'but another network'                     'h5dump -A p.h5 | grep -q "\"target\""'
for width in features=64 projection=8 pixels=3072; do
    check "--layer ${width%=*} has ${width#*=} columns" \
        "semppl-embed -c 0.h5 --layer ${width%=*} -o p.h5 test.h5 && h5dump -H -d x p.h5 | grep -q '( 20, ${width#*=} )'"
done
check_same 'pixels of 32 x 32 need no checkpoint for their size' \
    "echo '( 20, 3072 )'" "semppl-embed --layer pixels -o q.h5 test.h5; h5dump -H -d x q.h5 | grep -o '( 20, 3072 )' | head -1"
semppl-prep -q --pixels 16 -o other.h5 test
check_err 3 'but one size'                      '16 x 16.*32 x 32.*-c' 'semppl-embed --layer pixels test.h5 other.h5 >p.h5'
check 'the history tells the whole way'         'h5dump -d history e.h5 >h && grep -q semppl-prep h && grep -q semppl-ckpt h && grep -q semppl-embed h'
check_err 0 'an untrained network is mentioned with -v' 'never trained' 'semppl-embed -v -c 0.h5 test.h5 >p.h5'
check_err 0 'and the pictures are counted'      '20 pictures in' 'semppl-embed -c 0.h5 test.h5 >p.h5'

mkdir none
semppl-prep -q -o empty.h5 none 2>/dev/null
if [ -e empty.h5 ]; then
    check 'an empty shard makes an empty one'   'semppl-embed -q -c 0.h5 -o p.h5 empty.h5 && h5dump -H -d x p.h5 | grep -q "( 0, 64 )"'
else
    skip 'an empty shard makes an empty one' 'prep makes none'
fi

check_err 2 'features need a checkpoint'        'features.*-c' 'semppl-embed train.h5'
check_err 2 'an unknown layer'                  'middle' 'semppl-embed -c 0.h5 --layer middle train.h5'
check_err 2 'standard input is one thing'       'standard input' 'semppl-embed -c - <0.h5'
check_err 2 'also if it is named'               'standard input' 'semppl-embed -c - - <0.h5'
cp train.h5 kept.h5
ln -s kept.h5 link.h5
check_err 2 'pictures are not replaced'         'link\.h5 is an input' 'semppl-embed -c 0.h5 -o link.h5 kept.h5'
check_err 2 'nor is the checkpoint'             '0\.h5 is an input' 'semppl-embed -c 0.h5 -o ./0.h5 kept.h5'
check       'they are as they were'             'cmp kept.h5 train.h5'
check_err 3 'who reads learns of a failure'     'knn:.*cut off' 'semppl-embed -q -c 0.h5 test.h5 gone.h5 | semppl-knn -q -b e.h5'
check_err 3 'between two files too'             'knn:.*cut off' \
    '(cat test.h5; head -c 20000 train.h5) | semppl-embed -q -c 0.h5 | semppl-knn -q -b e.h5'
# killed after the first of two files: the last byte of what came is still to come
killed() {
    mkfifo in
    semppl-embed -q -c 0.h5 <in >half.h5 &
    local pid=$!
    exec 9>in
    cat test.h5 >&9
    for _ in $(seq 200); do [ -s half.h5 ] || sleep 0.05; done
    kill -9 $pid
    exec 9>&-
    wait $pid
    semppl-knn -q -b e.h5 half.h5
}
check_err 3 'and of a kill'                     'knn:.*cut off' 'killed'
check_err 3 'no checkpoint'                     'gone\.h5' 'semppl-embed -c gone.h5 train.h5'
check_err 3 'a checkpoint is no shard'          '0\.h5' 'semppl-embed -c 0.h5 0.h5 >p.h5'
check_err 3 'a shard is no checkpoint'          'train\.h5' 'semppl-embed -c train.h5 train.h5 >p.h5'
check_err 3 'nothing in'                        'no image shard' 'semppl-embed -c 0.h5 </dev/null >p.h5'
check_err 3 'a cut-off stream is no shorter result' 'cut off' 'head -c 20000 train.h5 | semppl-embed -c 0.h5 >p.h5'
rm -f p.h5
check_err 3 'nor leaves a file'                 'cut off' 'head -c 20000 train.h5 | semppl-embed -c 0.h5 -o p.h5'
# test.h5 and train.h5 take turns at a name, thousands of times a second: each reader has one of them
turns() {
    local i rc=0
    : >go
    perl -e 'while (-e "go") { for (qw(test train)) { link "$_.h5", "turn"; rename "turn", "x.h5" } }' &
    while [ ! -e x.h5 ]; do :; done
    for i in $(seq 80); do semppl-embed -q --layer pixels x.h5 >/dev/null || rc=$?; done
    rm go
    wait $!
    return $rc
}
check 'a file that is replaced while it is opened' turns
check 'indeed'                                  '[ ! -e p.h5 ] && [ -z "$(ls -A | grep tmp)" ]'

finish
