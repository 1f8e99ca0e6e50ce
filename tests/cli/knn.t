#!/usr/bin/env bash
# semppl-knn: labels from the nearest labelled embeddings
# shellcheck source=tests/cli/lib.sh disable=SC2016,SC2034
. "${BASH_SOURCE[0]%/*}/lib.sh"

python=
for p in python3 /usr/bin/python3; do
    if [ -z "$python" ] && $p -c 'import h5py' 2>/dev/null; then python=$p; fi
done
if [ -z "$python" ]; then
    skip 'semppl-knn' 'h5py is not installed'
    finish
    exit
fi

# shard FILE CLASS...: an embedding shard from lines "key id label truth x y", read from stdin
cat >make.py <<'PY'
import sys, numpy as np, h5py
name, classes = sys.argv[1], [c.encode() for c in sys.argv[2:]]
rows = [l.split() for l in sys.stdin if l.strip()]
keys = [r[0].encode().replace(b'%09', b'\t') for r in rows]
with h5py.File(name, 'w', libver=('v108', 'v108')) as f:
    def text(k, v): f.attrs.create(k, np.bytes_(v) if v else h5py.Empty('S1'))
    for k, v in (('layer', 'features'), ('net', 'online'), ('checkpoint', '0123456789abcdef')): text(k, v)
    f.attrs['normalised'] = np.int64(0)
    f['x'] = np.array([[float(v) for v in r[4:]] for r in rows], '<f4').reshape(len(rows), -1 if rows else 2)
    f['id'] = np.array([int(r[1]) for r in rows], '<u8')
    f['label'] = np.array([int(r[2]) for r in rows], '<i4')
    if any(r[3] != '-' for r in rows): f['truth'] = np.array([int(r[3]) for r in rows], '<i4')
    f['key'] = np.frombuffer(b''.join(keys), 'u1') if keys else np.zeros(0, 'u1')
    f['key_offset'] = np.cumsum([0] + [len(k) for k in keys]).astype('<u8')
    f['classes'] = np.array(classes, 'S%d' % max(map(len, classes)))
    text('format', 'semppl-embedding')
    f.attrs['version'] = np.int64(1)
    f.attrs['complete'] = np.int64(1)
PY
shard() { $python make.py "$@"; }

# Seven labelled rows around the clock, in two of three classes; of different lengths.
shard bank.h5 cat dog eel <<'ROWS'
c1 1 0 - 1 0
c2 2 0 - 5 1
c3 3 0 - 2 2
d1 4 1 - 0 1
d2 5 1 - -1 9
d3 6 1 - -3 3
d4 7 1 - -1 0
u1 8 -1 - 1 1
ROWS
shard query.h5 cat dog eel <<'ROWS'
q1 11 -1 - 3 0
q%092 12 -1 - -1 5
q3 13 -1 - 0 -1
ROWS
shard known.h5 cat dog eel <<'ROWS'
q1 11 -1 0 3 0
q2 12 -1 0 -1 5
q3 13 2 2 -1 0.1
ROWS
tab=$'\t'

check_out 'one neighbour each, by its angle' "q1${tab}cat${tab}1.0000
q\\t2${tab}dog${tab}1.0000
q3${tab}cat${tab}1.0000" 'semppl-knn -q -k1 -b bank.h5 query.h5'
check_out 'three, by majority' "q1${tab}cat${tab}1.0000
q\\t2${tab}dog${tab}1.0000
q3${tab}cat${tab}0.6667" 'semppl-knn -q -k3 --vote majority -b bank.h5 query.h5'
check_out 'neighbours are listed with key, class and similarity' \
    "q1${tab}cat${tab}1.0000${tab}c1${tab}cat${tab}1.0000${tab}c2${tab}cat${tab}0.9806" \
    'semppl-knn -q -k3 --show-neighbours 2 -b bank.h5 query.h5 | head -1'
check_out 'of equals the lower row comes first' "c1${tab}d4" \
    'semppl-knn -q -k2 --show-neighbours 2 -b bank.h5 query.h5 | tail -1 | cut -f 4,7'
# cosines 1, 0.98058, 0.70711 and 0: (1 + 0.9619 + 0.5567) / (1 + 0.9619 + 0.5567 + 0.1353)
check_out 'weights are exp(similarity / temperature)' "q1${tab}cat${tab}0.9490" \
    'semppl-knn -q -k4 --temperature 0.5 -b bank.h5 query.h5 | head -1'
check_out 'k larger than the bank means all' "q1${tab}dog${tab}0.5714" \
    'semppl-knn -q -k100 --vote majority -b bank.h5 query.h5 | head -1'
check_out 'unsure is an answer' "q3${tab}?${tab}0.6667" \
    'semppl-knn -q -k3 --vote majority --min-confidence 0.7 -b bank.h5 query.h5 | tail -1'
check_out 'a confidence at the limit is enough' "q1${tab}cat${tab}1.0000" \
    'semppl-knn -q -k1 --min-confidence 1 -b bank.h5 query.h5 | head -1'
check_out 'without a bank the labelled rows vote for the others, and only these come out' \
    "u1${tab}cat${tab}1.0000" 'semppl-knn -q -k1 bank.h5'
check_same 'from a pipe too' 'semppl-knn -q bank.h5 query.h5' 'cat bank.h5 query.h5 | semppl-knn -q'
check_same 'a bank and a stream of queries' 'semppl-knn -q -b bank.h5 query.h5 known.h5' 'cat query.h5 known.h5 | semppl-knn -q -b bank.h5'
check_same 'to a file as to a pipe' 'semppl-knn -q -b bank.h5 query.h5' 'semppl-knn -q -b bank.h5 -o l.tsv query.h5 && cat l.tsv'

check_err 0 'how many labelled rows vote is always said' '7 labelled rows: 3 classes, 0 to 4' 'semppl-knn -b bank.h5 query.h5'
shard even.h5 cat dog <<'ROWS'
c1 1 0 - 1 0
d1 2 1 - 0 1
u1 3 -1 - 1 1
ROWS
check_err 0 'classes of one size'               ': 2 labelled rows: 2 classes, 1 in each$' 'semppl-knn -k1 even.h5'
check_err 0 'and that a class has none'         'without a labelled row' 'semppl-knn -b bank.h5 query.h5'
check_err 0 'with truth, accuracy'              'accuracy 0.3333: 1 of 3' 'semppl-knn -k3 -b bank.h5 known.h5'
check_err 0 'by class: labelled, assigned, confidence, accuracy' '^dog +4 +2 +1.0000 +0.0000$' \
    'semppl-knn -k1 -b bank.h5 known.h5'
check_err 0 'unsure rows do not count'          '2 labelled, 1 unsure' 'semppl-knn -k7 --temperature 0.2 --min-confidence 0.96 -b bank.h5 known.h5'
check_err 0 'queries that are in the bank are kept, with a word' 'queries that are in the bank too.*: 7$' 'semppl-knn -b bank.h5 bank.h5'
check_same 'indeed'                             'echo 8' 'semppl-knn -q -b bank.h5 bank.h5 | wc -l'
check_out '-q says nothing'                     '' 'semppl-knn -q -b bank.h5 known.h5 2>&1 >l.tsv'

# Real embeddings: many rows, duplicates.
"$BUILD"/examples/draw-shapes photos 30 1 >/dev/null
semppl-prep -q --labels-per-class 6 -o train.h5 photos
semppl-embed -q --layer pixels -o e.h5 train.h5
check_same 'little memory gives the same'       'semppl-knn -q --show-neighbours 20 e.h5' 'semppl-knn -q --mem 1Mi --show-neighbours 20 e.h5'
check_same 'as do three threads'                'semppl-knn -q -j1 --show-neighbours 20 e.h5' 'semppl-knn -q -j3 --show-neighbours 20 e.h5'
check_same 'and the definition of the kernels'  'semppl-knn -q --show-neighbours 20 e.h5' 'SEMPPL_ISA=ref semppl-knn -q --show-neighbours 20 e.h5'
check_same 'every unlabelled row once'          'echo 240' 'semppl-knn -q e.h5 | cut -f1 | sort -u | wc -l'

check 'HDF5 to a file'                          'semppl-knn -q --hdf5 --show-neighbours 2 -k 7 -o l.h5 -b bank.h5 known.h5'
cat >read.py <<'PY'
import h5py
f = h5py.File('l.h5')
assert f.attrs['format'].decode() == 'semppl-labels' and f.attrs['complete'] == 1
assert list(f['label']) == [0, 1, 1] and list(f['truth']) == [0, 0, 2]
assert list(f['id']) == [11, 12, 13] and bytes(f['key'][()]) == b'q1q2q3' and list(f['key_offset']) == [0, 2, 4, 6]
assert [c.rstrip(b'\0') for c in f['classes']] == [b'cat', b'dog', b'eel']
assert f['neighbour_id'].shape == (3, 2) and list(f['neighbour_id'][0]) == [1, 2] and list(f['neighbour_label'][0]) == [0, 0]
assert abs(f['neighbour_similarity'][0, 0] - 1) < 1e-6 and 0.5 < f['confidence'][0] <= 1
assert any(b'semppl-knn' in h for h in f['history'])
PY
check 'holds the same'                          '$python read.py'
semppl-knn -q --hdf5 -b bank.h5 query.h5 known.h5 >two.h5
check_same 'on a pipe, a whole file for each input' 'echo 2' 'grep -aobF "$(printf "\211HDF\r")" two.h5 | wc -l'

check 'a contact sheet'                         'semppl-knn -q --sheet s.png --images train.h5 -o l.tsv e.h5 && [ "$(head -c 4 s.png | tail -c 3)" = PNG ]'
check 'as JPEG too'                             'semppl-knn -q --sheet s.jpg --images train.h5 -o l.tsv e.h5 && [ "$(head -c 2 s.jpg | od -An -tx1)" = " ff d8" ]'
check_err 0 'pictures that are not at hand are left out, with a word' 'the --images given lack' \
    'semppl-knn -k1 --sheet s.png --images train.h5 -b bank.h5 -o l.tsv query.h5'
check_err 2 'a sheet wants pictures'            '--images' 'semppl-knn --sheet s.png e.h5'
check_err 2 'and a name that says its format'   's\.gif' 'semppl-knn --sheet s.gif --images train.h5 e.h5'

shard bare.h5 cat dog eel <<'ROWS'
a 1 -1 - 1 0
ROWS
shard full.h5 cat dog eel <<'ROWS'
a 1 0 - 1 0
ROWS
shard others.h5 cat cow eel <<'ROWS'
a 1 -1 - 1 0
ROWS
shard wide.h5 cat dog eel <<'ROWS'
a 1 -1 - 1 0 1
ROWS
shard zero.h5 cat dog eel <<'ROWS'
z 1 -1 - 0 0
ROWS
shard nan.h5 cat dog eel <<'ROWS'
z 1 -1 - 0 nan
ROWS
shard empty.h5 cat dog eel </dev/null
check_err 3 'nobody to vote'                    'no row has a label' 'semppl-knn bare.h5'
check_err 3 'nor in a bank'                     'bare\.h5.*no row has a label' 'semppl-knn -b bare.h5 query.h5'
check_err 0 'nothing to label'                  'every row has a label' 'semppl-knn full.h5'
check_out 'no queries, no lines'                '' 'semppl-knn -q -b bank.h5 empty.h5'
check_err 3 'other classes are refused, by name' "cow|dog" 'semppl-knn -b bank.h5 others.h5'
check_err 3 'another width too'                 '2 and 3 dimensions' 'semppl-knn -b bank.h5 wide.h5'
check_err 6 'a row of zeros too'                'all zero' 'semppl-knn -b bank.h5 zero.h5'
check_err 6 'and one that is no number'         'not finite' 'semppl-knn -b bank.h5 nan.h5'
check_err 3 'nothing in'                        'no embedding' 'semppl-knn -b bank.h5 </dev/null'
check_err 3 'a cut-off stream'                  'cut off' 'cat query.h5 known.h5 | head -c 6000 | semppl-knn -b bank.h5'
check_err 3 'pictures are no embeddings'        'train\.h5' 'semppl-knn train.h5'
check_err 2 'k wants a number'                  'many' 'semppl-knn -k many e.h5'
check_err 2 'and at least 1'                    '0' 'semppl-knn -k 0 e.h5'
check_err 2 'no more neighbours than k'         '--show-neighbours 3' 'semppl-knn -k 2 --show-neighbours 3 e.h5'
check_err 2 'standard input is one thing'       'standard input' 'semppl-knn -b - <bank.h5'
check_err 2 'not pictures and queries'          'standard input' 'semppl-knn -b bank.h5 --sheet s.png --images - <query.h5'
cp e.h5 kept.h5
ln -s e.h5 link.h5
check_err 2 'queries are not replaced'          'link\.h5 is an input' 'semppl-knn -o link.h5 e.h5'
check_err 2 'nor is the bank'                   'e\.h5 is an input' 'semppl-knn --hdf5 -b e.h5 -o ./e.h5 kept.h5'
check_err 2 'labels and a sheet are not one file' 's2\.png cannot take two outputs' 'semppl-knn -o s2.png --sheet s2.png --images train.h5 e.h5'
check_err 2 'nor are pictures'                  'train\.h5 is an input' 'semppl-knn -o train.h5 --sheet s.png --images train.h5 e.h5'
check       'they are as they were'             'cmp e.h5 kept.h5'
check_err 3 'no folder for the sheet'            'none/s\.png' 'semppl-knn -q --sheet none/s.png --images gone.h5 query.h5'
check_err 3 'missing pictures are noticed'      'gone\.h5' 'semppl-knn -q -b bank.h5 --sheet s.png --images gone.h5 query.h5'
check_out 'before the work'                     '' 'semppl-knn -q -b bank.h5 --sheet s.png --images gone.h5 query.h5 2>/dev/null || true'

finish
