#!/usr/bin/env bash
# semppl-eval: nearest neighbours and the linear probe, scored
# shellcheck source=tests/cli/lib.sh disable=SC2016,SC2034
. "${BASH_SOURCE[0]%/*}/lib.sh"

"$BUILD"/examples/draw-shapes photos 20 1 >/dev/null
"$BUILD"/examples/draw-shapes test 6 2 >/dev/null
semppl-prep -q --labels-per-class 8 -o train.h5 photos
semppl-prep -q -o test.h5 test
semppl-ckpt new --preset cifar --width 0.125 --hidden 16 --dim 8 --batch 8 -o 0.h5
semppl-embed -q -c 0.h5 -o bank.h5 train.h5
semppl-embed -q -c 0.h5 -o t.h5 test.h5
python=$(command -v python3 || echo /usr/bin/python3)
field() { grep -oE "\"$1\": [^,}]*" | head -1 | sed 's/.*: //'; }

check 'nearest neighbours'                      'semppl-eval knn -b bank.h5 t.h5 >knn.txt'
check 'a table: top-1, top-5, classes, confusion' \
    'grep -q "^top-1 " knn.txt && grep -q "^top-5 " knn.txt && grep -q "^confusion" knn.txt &&
     grep -cE "^[a-z-]+ +8 +6 +" knn.txt | grep -qx 10'
check_same 'from a pipe too'                    'cat knn.txt' 'semppl-embed -q -c 0.h5 test.h5 | semppl-eval knn -q -b bank.h5'
check_same 'two halves of a stream are one set' 'semppl-eval knn -q -b bank.h5 t.h5 t.h5' 'cat t.h5 t.h5 | semppl-eval knn -q -b bank.h5'
check_same 'top-1 is what semppl-knn finds'     'semppl-knn -b bank.h5 t.h5 2>&1 >l.tsv | grep -oE "accuracy [0-9.]+" | tail -1 | cut -d" " -f2' \
                                                'semppl-eval knn -q -b bank.h5 t.h5 | sed -n "s/^top-1 *//p"'
check 'the linear probe'                        'semppl-eval linear -b bank.h5 t.h5 >linear.txt'
check_same 'with one thread and three'          'semppl-eval linear -q -j1 -b bank.h5 t.h5' 'semppl-eval linear -q -j3 -b bank.h5 t.h5'
check_err 0 'its strength is told with -v'      'strength .* of 20 held-out rows' 'semppl-eval linear -v -b bank.h5 t.h5'
check_out 'JSON: one line'                      1 'semppl-eval knn -q --json -b bank.h5 t.h5 | wc -l'
check_out 'with a version, the method, and how many rows' $'1\n"knn"\n60\n80\n0' \
    'semppl-eval knn -q --json -b bank.h5 t.h5 >r; for k in v method rows bank overlap; do field $k <r; done'
cat >read.py <<'PY'
import json, sys
r = json.loads(sys.stdin.read())
c = r['confusion']
right = sum(c[i][i] for i in range(10))
assert len(r['classes']) == 10 and sum(map(sum, c)) == r['rows'] == 60
assert abs(right / 60 - r['top1']) < 1e-5 and r['top1'] <= r['top5'] <= 1
assert all(k['right'] == c[i][i] and k['rows'] == 6 and k['labelled'] == 8 for i, k in enumerate(r['classes']))
assert abs(sum(k['accuracy'] for k in r['classes']) / 10 - r['mean_per_class']) < 1e-5
assert any(h['program'] == 'semppl-eval' for h in r['history'])
PY
check 'its numbers agree with each other'       'semppl-eval knn -q --json -b bank.h5 t.h5 | $python read.py'
check 'the linear ones too'                     'semppl-eval linear -q --json -b bank.h5 t.h5 | $python read.py'
check_same 'the truth that a split hid counts, not the label' 'echo 120' \
    'semppl-eval knn -q --json --allow-overlap -b bank.h5 bank.h5 >r; echo $(($(field rows <r) - $(field overlap <r)))'

for i in 1 2 3 4; do
    echo "{\"v\": 1, \"step\": $i, \"loss\": $((9 - i)).5, \"loss_inv\": 0, \"pseudo_accuracy\": null, \"lr\": 0.$i}"
done >log.jsonl
check 'a report'                                'semppl-eval linear -q --report rep --log log.jsonl -b bank.h5 t.h5'
check 'is a record and two pictures'            '$python read.py <rep/eval.json && [ "$(head -c 4 rep/confusion.png | tail -c 3)" = PNG ] && [ -s rep/learning-curve.png ] && [ "$(ls rep | wc -l)" = 3 ]'
check 'it may be written again'                 'semppl-eval knn -q --report rep -b bank.h5 t.h5'
head -c 150 log.jsonl >cut.jsonl
check_err 3 'a cut-off log'                     'cut\.jsonl.*line 2' 'semppl-eval knn --report new --log cut.jsonl -b bank.h5 t.h5'
check_err 3 'a log of nothing'                  'no line' 'semppl-eval knn --report new --log /dev/null -b bank.h5 t.h5'
check 'nothing was written for them'            '! [ -e new ]'
mkdir same && cp bank.h5 same/eval.json && cp t.h5 same/confusion.png && cp log.jsonl same/learning-curve.png
for i in '-b same/eval.json t.h5' '-b bank.h5 same/confusion.png' '--log same/learning-curve.png -b bank.h5 t.h5'; do
    check_err 2 "a report does not replace what it is made of: $i" 'same/[a-z.-]* is an input' "semppl-eval knn --report same $i"
done
check_err 3 'a report needs a folder, said before the work' 't\.h5: is no folder' 'semppl-eval knn --report t.h5 -b gone.h5 bank.h5'
check_err 2 'a log without a report'            '--report' 'semppl-eval knn --log log.jsonl -b bank.h5 t.h5'

check_err 3 'pictures in bank and test are refused' 'the bank holds 80 test rows too' 'semppl-eval knn -b bank.h5 bank.h5'
check_out 'and print nothing'                   '' 'semppl-eval knn -q -b bank.h5 bank.h5 2>/dev/null || true'
check 'unless they are allowed'                 'semppl-eval knn -q --allow-overlap -k1 -b bank.h5 bank.h5'
mkdir flat
cp photos/star/00000.jpg flat
semppl-prep -q -o flat.h5 flat && semppl-embed -q -c 0.h5 -o unknown.h5 flat.h5
check_err 3 'rows without a class cannot be scored' 'no test row has a known class' 'semppl-eval knn -b bank.h5 unknown.h5'
check_err 0 'among others they are passed over, with a word' 'passed over: 1 test row without' 'semppl-eval knn -b bank.h5 t.h5 unknown.h5'
check_err 3 'a bank without labels'             'no row has a label' 'semppl-eval linear -b unknown.h5 t.h5'
semppl-embed -q -c 0.h5 --layer projection -o p.h5 test.h5
check_err 3 'another layer is refused'          'features.*projection' 'semppl-eval knn -b bank.h5 p.h5'
check_err 3 'a file without labels is no bank for itself' 'no row has a label' 'semppl-eval knn unknown.h5'
check_err 2 'a bank is needed'                  '-b' 'semppl-eval knn <t.h5'
check_out 'a file is a bank for its other rows' $'120\n80\n0' \
    'semppl-eval knn -q --json bank.h5 >r; for k in rows bank overlap; do field $k <r; done'
check_same 'as it is for semppl-knn'            'semppl-knn bank.h5 2>&1 >l.tsv | grep -oE "accuracy [0-9.]+" | tail -1 | cut -d" " -f2' \
                                                'semppl-eval knn -q bank.h5 | sed -n "s/^top-1 *//p"'
mkfifo pipe
check_err 2 'a pipe cannot be read twice'       '-b' 'timeout 10 semppl-eval knn pipe'
check_err 2 'and a verb'                        'knn' 'semppl-eval'
check_err 2 'standard input is one thing'       'standard input' 'semppl-eval knn -b - <bank.h5'

finish
