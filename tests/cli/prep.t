#!/usr/bin/env bash
# semppl-prep: every file ends in the shard or in the ledger
# shellcheck disable=SC2016  # commands are strings for eval
# shellcheck source=tests/cli/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
export LC_ALL=C
data=$TOP/tests/data

# column FILE DATASET FORMAT:BYTES: one line a row
column() {
    h5dump -d "$2" -b LE -o ".column.$BASHPID" "$1" >/dev/null &&
        od -An -v -w"${3#*:}" -t "${3%:*}" ".column.$BASHPID" && rm ".column.$BASHPID"
}
# keys FILE: one key a line, quoted by printf %q
keys() {
    local from to PARENT=$BASHPID
    h5dump -d key -b LE -o ".keys.$BASHPID" "$1" >/dev/null || return 1
    column "$1" key_offset u8:8 | {
        read -r from
        while read -r to; do
            printf '%q\n' "$(tail -c +$((from + 1)) ".keys.$PARENT" | head -c $((to - from)))"
            from=$to
        done
    }
    rm ".keys.$BASHPID"
}
# show FILE: key, label, height, width, orientation, id, crc of every row
show() {
    paste -d' ' <(keys "$1") <(column "$1" label d4:4) <(column "$1" size u2:4) \
        <(column "$1" orientation u1:1) <(column "$1" id u8:8) <(column "$1" crc u4:4) | tr -s ' '
}
classes() { h5dump -d classes "$1" | sed -n 's/^ *([0-9]*): //p' | tr -d '", \n' | sed 's/\\000//g'; }
count() { column "$1" label d4:4 | awk -v want="$2" '$1 == want' | wc -l; }
# photos DIR: two classes, three pictures each that decode, all different
photos() {
    mkdir -p "$1/cat/deep" "$1/dog"
    cp "$data/rgb.jpg" "$1/cat/1.jpg"
    cp "$data/turned6.jpg" "$1/cat/2.jpg"
    cp "$data/rgb.png" "$1/cat/deep/3.png"
    cp "$data/grey.jpg" "$1/dog/1.jpg"
    cp "$data/cmyk.jpg" "$1/dog/2.jpg"
    cp "$data/tall.jpg" "$1/dog/-rf.jpg"
}
photos photos

# -- folders ----
check_err 0 'a folder of classes'             '^semppl-prep: 6 files = 6 stored \+ 0 skipped' \
                                              'semppl-prep -o a.h5 photos'
check_out 'classes are its sub-folders'       'catdog' 'classes a.h5'
check_out 'rows in bytewise order of keys, sizes as seen, orientation recorded' \
'cat/1.jpg 0 16 24 1
cat/2.jpg 0 24 16 6
cat/deep/3.png 0 16 24 1
dog/-rf.jpg 1 60 40 1
dog/1.jpg 1 16 24 1
dog/2.jpg 1 16 24 1' 'show a.h5 | cut -d" " -f1-5'
check_same 'the bytes are those of the files'  'h5dump -d bytes -b LE -o .b a.h5 >/dev/null; cat .b' \
    '(cd photos && cat cat/1.jpg cat/2.jpg cat/deep/3.png dog/-rf.jpg dog/1.jpg dog/2.jpg)'
check_same 'any number of threads'             'semppl-prep -j1 -o b.h5 photos; show b.h5' \
                                               'semppl-prep -j5 -o b.h5 photos; show b.h5'
check_same 'the same again, byte for byte'     'semppl-prep -o b.h5 photos; cat b.h5' \
                                               'semppl-prep -o b.h5 photos; cat b.h5'
check_same 'a slash behind the folder'         'show a.h5' 'semppl-prep -o b.h5 photos//; show b.h5'
check_same 'the same pictures elsewhere'       'show a.h5' \
    'mkdir -p else/where; cp -r photos else/where/; semppl-prep -o b.h5 else/where/photos; show b.h5'
check_same 'standard output'                   'show a.h5' 'semppl-prep photos >b.h5; show b.h5'
check_out  'a flat folder has no classes'      '-rf.jpg -1 1.jpg -1 2.jpg -1' \
    'semppl-prep -q -o b.h5 photos/dog; show b.h5 | cut -d" " -f1,2 | paste -sd" "'
check_out  'a file has its path for a key, and no class' 'photos/dog/2.jpg -1 photos/dog/1.jpg -1' \
    'semppl-prep -q -o b.h5 photos/dog/2.jpg photos/dog/1.jpg; show b.h5 | cut -d" " -f1,2 | paste -sd" "'
check_out  'of several operands the keys begin with the operand' \
    'else/where/photos/cat/1.jpg 0 photos/cat/1.jpg 0' \
    'semppl-prep -o b.h5 else/where/photos photos; show b.h5 | cut -d" " -f1,2 | sed -n "1p;7p" | paste -sd" "'
check_err 0 'same content is told'             '6 pictures with the content of an earlier one' \
    'semppl-prep -o b.h5 else/where/photos photos'
mkdir -p empty/nothing none
check_err 3 'an empty folder'                  'no files' 'semppl-prep -o e.h5 none'
check_err 3 'a folder that is not there'       'nowhere' 'semppl-prep -o e.h5 nowhere'
cp "$data/make_images.py" empty/nothing/
check_err 3 'no picture at all'                'none of 1 file is' 'semppl-prep -o e.h5 --ledger e.tsv empty'
check_exit 1 'leaves no shard'                 '[ -e e.h5 ]'
check_out 'but its ledger'                     'nothing/make_images.py	skipped	not a JPEG or PNG	' \
    'tail -n +2 e.tsv'

# -- everything that may lie about ----
photos odd
mkdir -p odd/cat/sub.jpg 'odd/empty class' odd/__MACOSX odd/.hidden
cp "$data/rgb.jpg" odd/.hidden/x.jpg
cp "$data/rgb.jpg" odd/__MACOSX/x.jpg
cp "$data/rgb.jpg" odd/cat/.x.jpg
cp "$data/rgb.jpg" $'odd/cat/new\nline\t\\.jpg'
cp "$data/rgb.jpg" $'odd/cat/\xff\xfe.jpg'
cp "$data/rgb.jpg" odd/cat/-o
cp "$data/rgb.jpg" odd/rootless.jpg
cp "$data/junk.jpg" odd/dog/junk.jpg
cp "$data/truncated.jpg" odd/dog/truncated.jpg
cp "$data/truncated.png" odd/dog/truncated.png
head -c 300 "$data/rgb.jpg" >odd/dog/header.jpg
: >odd/dog/zero.jpg
echo text >odd/dog/text.jpg
printf 'GIF89a.....' >odd/dog/gif.jpg
mkfifo odd/dog/pipe.jpg
ln -s nowhere odd/dog/dangling.jpg
ln -s self.jpg odd/dog/self.jpg
ln -s .. odd/dog/loop
ln -s ../cat/1.jpg odd/dog/link.jpg
check_err 0 'the total adds up'                ': 22 files = 12 stored \+ 10 skipped' \
    'timeout 60 semppl-prep -v --ledger odd.tsv -o odd.h5 odd'
check_out 'the ledger names the rest' \
'key	status	reason	detail
cat/1.jpg	stored	duplicate	the same bytes as cat/-o
cat/new\nline\t\\.jpg	stored	duplicate	the same bytes as cat/-o
dog/dangling.jpg	skipped	not there	No such file or directory
dog/gif.jpg	skipped	not a JPEG or PNG	a GIF
dog/header.jpg	skipped	truncated	data ends in the header (Invalid JPEG file structure: missing SOS marker)
dog/junk.jpg	stored	oddity	Corrupt JPEG data: 5 extraneous bytes before marker 0xdb
dog/link.jpg	stored	duplicate	the same bytes as cat/-o, which has another class
dog/loop	skipped	loop	a link to a folder that it lies in
dog/pipe.jpg	skipped	not a file	a named pipe
dog/self.jpg	skipped	loop	Too many levels of symbolic links
dog/text.jpg	skipped	not a JPEG or PNG	
dog/truncated.jpg	skipped	truncated	data ends early, after 746 bytes
dog/truncated.png	skipped	truncated	data ends early, after 79 bytes
dog/zero.jpg	skipped	empty	
rootless.jpg	stored	duplicate	the same bytes as cat/-o' 'grep -av "^cat/[^1n]" odd.tsv'
check_out 'and no key can break its lines'     '17' 'wc -l <odd.tsv'
check_err 0 'hidden names are counted'         '3 names with a leading dot' 'semppl-prep -v -o b.h5 odd'
check_err 0 'an empty class is named'          'class "empty class" has no pictures' 'semppl-prep -o b.h5 odd'
check_out 'and is a class'                     'catdogemptyclass' 'classes odd.h5 | tr -d " "'
check_out 'keys hold any byte'                 "$(printf '%q\n' cat/-o cat/1.jpg cat/2.jpg cat/deep/3.png \
    $'cat/new\nline\t\\.jpg' $'cat/\xff\xfe.jpg')" 'keys odd.h5 | head -6'
check_err 4 '--strict tells of skipped files'  'skipped 10 of 22 files' 'semppl-prep --strict -o b.h5 odd'
check_err 0 'without a ledger they are named'  'skipped dog/zero.jpg: empty' 'semppl-prep -o b.h5 odd'
check_out 'unless -q'                          '' 'semppl-prep -q -o b.h5 odd 2>&1'
check_err 3 '--on-error fail stops'            'dog/dangling.jpg: not there' \
    'rm -f b.h5; semppl-prep --on-error fail --ledger f.tsv -o b.h5 odd'
check_out 'and leaves nothing'                 '' 'ls b.h5 f.tsv ./*.tmp.* 2>/dev/null; true'
check_err 0 '--on-error keep saves what it can' '22 files = 14 stored \+ 8 skipped' \
    'semppl-prep --on-error keep --ledger k.tsv -o b.h5 odd'
check_out 'and flags it'                       '2' 'grep -c "^dog/truncated.*	kept	truncated	" k.tsv'
if [ "$(id -u)" != 0 ]; then
    mkdir photos2 && photos photos2 && chmod 0 photos2/cat photos2/dog/1.jpg
    check_err 0 'without permission' '2 stored \+ 2 skipped' 'semppl-prep -o b.h5 photos2'
    chmod 755 photos2/cat
else
    skip 'without permission' 'root may read all'
fi

# -- lists ----
find odd/cat odd/dog -name '[0-9]*.*' -type f | sort -r >list
check_same 'a list gives its order'            'cat list' 'semppl-prep --files-from list -o b.h5; keys b.h5'
check_same 'from standard input too'           'cat list' 'semppl-prep --files-from - -o b.h5 <list; keys b.h5'
find odd/cat -type f ! -name '.*' -print0 | sort -z >list0
check_same 'NUL-separated for any name'        'while IFS= read -r -d "" f; do printf "%q\n" "$f"; done <list0' \
    'semppl-prep -q -0 --files-from list0 -o b.h5; keys b.h5'
check_err 3 'a NUL without -0 is told'         'line 1 holds a NUL byte' \
    'find odd -print0 | semppl-prep --files-from - -o b.h5'
check_err 0 'what is not there is skipped'     '2 files = 1 stored \+ 1 skipped' \
    'printf "%s\n" photos/cat/1.jpg photos/cat/none.jpg | semppl-prep --files-from - -o b.h5'
check_err 0 'a name that comes twice counts once' 'photos/cat/1.jpg: repeated' \
    'printf "%s\n" photos/cat/1.jpg photos/cat/1.jpg | semppl-prep --files-from - -o b.h5'
check_err 0 'a folder in a list is no file'    'photos/cat: not a file: a folder' \
    'printf "%s\n" photos/cat photos/cat/1.jpg | semppl-prep --files-from - -o b.h5'

# -- tar ----
tar --sort=name -cf t.tar photos
check_same 'a tar of a folder is the folder'   'show a.h5' 'semppl-prep -o b.h5 - <t.tar; show b.h5'
check_same 'no operand is standard input'      'show a.h5' 'semppl-prep -o b.h5 <t.tar; show b.h5'
check_same 'a tar of its content is too'       'show a.h5' \
    'tar --sort=name -C photos -c . | semppl-prep -o b.h5 -; show b.h5'
check_same 'and a tar of its sub-folders'      'show a.h5' \
    'tar --sort=name -C photos -c cat dog | semppl-prep -o b.h5 -; show b.h5; classes b.h5 >.c; [ "$(cat .c)" = catdog ]'
check_same 'compressed'                        'show a.h5' 'gzip -c t.tar | semppl-prep -o b.h5 -; show b.h5'
check_out 'a tar of a flat folder has no classes' '-1 -1' \
    'tar -C photos -c dog | semppl-prep -o b.h5 -; show b.h5 | cut -d" " -f2 | head -2 | paste -sd" "'
check_err 3 'cut in a member'                  'tar' 'head -c 2100 t.tar | semppl-prep -o c2.h5 -'
check_err 3 'cut between two members'          'cut off' 'head -c 2560 t.tar | semppl-prep -o c2.h5 -'
check_err 3 'cut and compressed'               'tar' 'gzip -c t.tar | head -c 1200 | semppl-prep -o c2.h5 -'
check_err 3 'nothing at all'                   'empty' 'semppl-prep -o c2.h5 - </dev/null'
check_err 3 'not a tar'                        'not a whole tar' 'semppl-prep -o c2.h5 - <"$data/rgb.jpg"'
check_exit 1 'leave no shard'                  '[ -e c2.h5 ]'
tar -cf t2.tar -C odd dog rootless.jpg
(cd photos && tar -rf ../t2.tar dog/1.jpg && tar -cf ../odd/in.tar dog)
tar -rf t2.tar -C odd in.tar .hidden
check_err 0 'the oddities of a tar add up'     '18 files = 5 stored \+ 13 skipped' \
    'semppl-prep -v --ledger tar.tsv -o b.h5 - <t2.tar'
check_out 'are named' \
'dog/1.jpg	skipped	repeated	a later member of the tar has the same name
dog/link.jpg	skipped	not a file	a symbolic link in a tar
dog/pipe.jpg	skipped	not a file	a named pipe
in.tar	skipped	not a JPEG or PNG	a tar archive' \
    'grep "skipped	\(repeated\|not a file\)\|in.tar" tar.tsv | grep -v "dangling\|self\|loop" | sort'
check_same 'one tar behind another'            'show a.h5' \
    '{ tar --sort=name -c photos/cat; tar --sort=name -c photos/dog; } | semppl-prep -o b.h5 -; show b.h5'
rm odd/in.tar

# -- labels ----
printf 'cat/1.jpg\tTom\nrootless.jpg\tTom\n./dog/1.jpg\tRex\t0.9\r\ncat/new\\nline\\t\\\\.jpg\tTom\n' >l.tsv
check_out 'a list labels what it names'        '4 -1' \
    'semppl-prep -q --labels l.tsv -o b.h5 odd; echo $(($(count b.h5 0) + $(count b.h5 1))) $(column b.h5 label d4:4 | sort -n | head -1)'
check_out 'classes are those of the list'      'RexTom' 'classes b.h5'
printf 'cat/1.jpg\tTom\nphotos/cat/1.jpg\tTom\nx\tTom\n' >bad.tsv
check_err 3 'an unknown path is told'          'bad.tsv: line 2: photos/cat/1.jpg is not among .* like cat/1.jpg .such lines: 2' \
    'semppl-prep --labels bad.tsv -o b.h5 photos'
check_err 3 'no such list'                     'nol.tsv' 'semppl-prep --labels nol.tsv -o b.h5 photos'
for c in 1 2 3 10; do
    mkdir -p "many/$c"
    for i in 1 2 3 4 5 6 7 8 9; do { cat "$data/rgb.jpg"; echo "$c $i"; } >"many/$c/$i.jpg"; done
    cp "$data/truncated.jpg" "many/$c/bad1.jpg"
    cp "$data/truncated.jpg" "many/$c/bad2.jpg"
done
rm many/3/[4-9].jpg
check_out 'classes in bytewise order'          '11023' 'semppl-prep -q -o m.h5 many; classes m.h5'
check_err 0 'a split keeps N sound ones a class' '15 of 30 pictures labelled: 3 to 4 in each of 4 classes' \
    'semppl-prep --labels-per-class 4 -o m4.h5 many'
check_err 0 'a short class is named'           'class "3" has 3 sound pictures, not 4' \
    'semppl-prep --labels-per-class 4 -o m4.h5 many'
check_same 'and hides the others in truth'     'column m.h5 label d4:4' 'column m4.h5 truth d4:4'
check_out 'the kept are true'                  '15' \
    'paste <(column m4.h5 label d4:4) <(column m4.h5 truth d4:4) | awk "\$1 >= 0 && \$1 == \$2" | wc -l'
check_exit 1 'without a split there is no truth' 'h5dump -d truth m.h5'
kept() { paste <(keys "$1") <(column "$1" label d4:4) | awk '$2 >= 0 { print $1 }' | sort; }
check_same 'the choice does not depend on order' 'kept m4.h5' \
    'tar --sort=name -c many | semppl-prep -q --labels-per-class 4 -o b.h5 -; kept b.h5'
check_exit 1 'another seed chooses others'     \
    'semppl-prep -q --labels-per-class 4 --seed 7 -o b.h5 many; [ "$(kept b.h5)" = "$(kept m4.h5)" ]'
cp -r many more
for i in a b c d e f; do { cat "$data/rgb.jpg"; echo "more $i"; } >"more/2/$i.jpg"; done
check_same 'classes do not touch each other'   'kept m4.h5 | grep -v ^2' \
    'semppl-prep -q --labels-per-class 4 -o b.h5 more; kept b.h5 | grep -v ^2'
check_err 0 'a fraction'                       '14 of 30 pictures labelled: 2 to 4 in each of 4 classes' \
    'semppl-prep --label-fraction 0.35 -o b.h5 many' # 11 pictures: 3.85 is 4; 5: 1.75 is 2
check_err 0 'is 1 at least'                    '4 of 30 pictures labelled: 1 in each of 4' \
    'semppl-prep --label-fraction 0.001 -o b.h5 many'
check_err 3 'nothing to split'                 'no labels to split' \
    'semppl-prep --labels-per-class 4 -o b.h5 photos/dog'

# -- what is stored ----
check_out 'decoded squares'                    '6 12 12 3' \
    'semppl-prep -q --pixels 12 -o p.h5 photos; h5dump -H -d pixels p.h5 | grep -o "( [0-9, ]*)" | head -1 | tr -d "(),"  | xargs'
check_out 'a short side shrinks, and only shrinks' 'cat/1.jpg 16 24 cat/2.jpg 24 16 cat/deep/3.png 16 24 dog/-rf.jpg 30 20 dog/1.jpg 16 24 dog/2.jpg 16 24' \
    'semppl-prep -q --short-side 20 -o s.h5 photos; show s.h5 | cut -d" " -f1,3,4 | paste -sd" "'
check_same 'pictures that fit keep their bytes' 'show a.h5 | grep dog/2' 'show s.h5 | grep dog/2'
check_same 'the id is that of the file'        'column a.h5 id u8:8' 'column p.h5 id u8:8'
check_out 'numbered shards'                    'n-000.h5 n-001.h5 n-002.h5' \
    'for i in 1 2 3 4; do for f in 1 2 3; do { cat "$data/rgb.jpg"; head -c 12000 /dev/zero; echo $f$i; } >big-$f$i.jpg; done; done; semppl-prep -q --shard-size 64Ki -o "n-%03d.h5" big-*.jpg; echo n-*.h5'
check_same 'hold all rows in order'            'printf "%s\n" big-*.jpg' 'for f in n-*.h5; do keys $f; done'
check_out 'a stream is files back to back'     '3' \
    'semppl-prep -q --shard-size 64Ki big-*.jpg >st.h5; grep -c -a -o "semppl-shard" st.h5'
check_out 'the seed and the input are in the history' '1' \
    'h5dump -d history m4.h5 | grep -c "labels-per-class.*many.*checksum.*seed"'

# -- masks ----
# masks FILE: how many bytes the mask of each row has
masks() { column "$1" mask_offset u8:8 | awk 'NR > 1 { printf "%d ", $1 - last } { last = $1 }'; }
mkdir -p masks/cat/deep masks/dog masks/cat/2.png none
cp "$data/rgb.png" masks/cat/1.png             # 24 x 16, as the picture
cp "$data/rgb.jpg" masks/cat/deep/3.jpeg
cp "$data/rgb.png" masks/cat/2.jpg             # its picture is turned: 16 x 24 as seen
echo text >masks/dog/1.png
check_err 0 'masks beside the pictures'        '^semppl-prep: 2 of 6 pictures with a mask' \
    'semppl-prep --masks masks --ledger mask.tsv -o mask.h5 photos'
check_out 'are in the rows of theirs'          '1 0 1 0 0 0' 'masks mask.h5 | sed "s/[1-9][0-9]*/1/g" | xargs'
check_same 'the pictures are the same'         'show a.h5' 'show mask.h5'
check_out 'one that does not fit is told'      \
'cat/2.jpg	stored	mask	masks/cat/2.jpg: it is 24 x 16, the picture 16 x 24
dog/1.jpg	stored	mask	masks/dog/1.png: not a JPEG or PNG' 'grep mask mask.tsv'
check_err 3 'or fails'                         '^semppl-prep: masks/cat/2.jpg: it is 24 x 16' \
    'semppl-prep --on-error fail --masks masks -o b.h5 photos'
check_err 0 'masks of other pictures'          'none holds no mask of these pictures: that of cat/1.jpg' \
    'semppl-prep --masks none -o b.h5 photos'
check_exit 1 'leave no column'                 'h5dump -d mask b.h5'
check_out 'of squares they are planes'         '6 12 12' \
    'semppl-prep -q --masks masks --pixels 12 -o p.h5 photos; h5dump -H -d mask p.h5 | grep -o "( [0-9, ]*)" | head -1 | tr -d "(),"  | xargs'
check_err 0 'masks from colours'               '^semppl-prep: [1-6] of 6 pictures with a mask' \
    'semppl-prep --saliency -o sal.h5 photos'
check_same 'whatever the threads'              'semppl-prep -q -j1 --saliency -o b.h5 photos; h5dump -d mask b.h5' \
    'semppl-prep -q -j5 --saliency -o b.h5 photos; h5dump -d mask b.h5'
check_out 'are in the recipe'                  '1' 'h5dump -a recipe sal.h5 | grep -c "Zhu et al"'
check_exit 1 'and in no shard without them'    'h5dump -d mask a.h5'
check_same 'shards with masks keep their size' 'printf "%s\n" big-*.jpg' \
    'semppl-prep -q --saliency --shard-size 64Ki -o "k-%03d.h5" big-*.jpg; for f in k-*.h5; do keys $f; [ "$(wc -c <$f)" -le 65536 ] || echo $f; done'

# -- memory ----
# A limit on address space, which sanitizers cannot live with. 130 squares of 3 MiB are more than a batch may hold.
export OPENBLAS_NUM_THREADS=1
limited() { (ulimit -v 600000 && semppl-prep -q -j2 "$@"); }
if limited --version >/dev/null 2>&1; then
    mkdir small
    for i in {1..130}; do cp "$data/rgb.jpg" "small/$i.jpg"; done
    check 'small files of large pixels'        'limited --pixels 1024 small >/dev/null'
else
    skip 'small files of large pixels'         'the programs do not start with so little memory'
fi

# -- usage ----
check_err 2 'two streams'                      'once' 'semppl-prep --files-from - - -o b.h5'
check_err 2 'no part of a class'             '^semppl-prep: --label-fraction wants a number from' 'semppl-prep --label-fraction 0 -o b.h5 photos'
check_err 2 'two ways to split'                'exclude' 'semppl-prep --labels-per-class 1 --label-fraction 0.1 -o b.h5 photos'
check_err 2 'a seed for nothing'               'no effect' 'semppl-prep --seed 1 -o b.h5 photos'
check_err 2 'two sizes'                        'exclude' 'semppl-prep --pixels 8 --short-side 8 -o b.h5 photos'
check_err 2 'two kinds of masks'               'exclude' 'semppl-prep --masks masks --saliency -o b.h5 photos'
check_err 3 'no folder of masks'               'nowhere' 'semppl-prep --masks nowhere -o b.h5 photos'
check_err 2 'a size of one shard'              'numbered name' 'semppl-prep --shard-size 1Mi -o b.h5 photos'
check_err 2 'an unknown policy'                'on-error' 'semppl-prep --on-error ignore -o b.h5 photos'
check_err 2 'one file for two'                 'both the shard and the ledger' 'semppl-prep --ledger b.h5 -o b.h5 photos'
check_err 2 'one that is not there yet'         'both the shard and the ledger' \
    'semppl-prep --ledger ./new.h5 -o new.h5 photos'
check_err 2 'a ledger in place of a numbered shard' 'part-1\.h5 cannot be both a shard and the ledger' \
    'semppl-prep --ledger ./part-1.h5 -o part-%d.h5 photos'
check_err 2 'nor in a folder'                   'else/01.h5 cannot be both a shard' \
    'semppl-prep --ledger else/01.h5 -o else/where/../%d.h5 photos'
check_err 2 'nor does one replace a list'       'list1 is an input' \
    'semppl-prep --files-from list1 -o list%d photos'
check 'names that are like it'                  'semppl-prep --ledger part-.h5 -o part-%d.h5 photos &&
    semppl-prep --ledger part-1 -o part-%d.h5 photos && semppl-prep --ledger else/part-1.h5 -o part-%d.h5 photos'
check_err 3 'a folder is no ledger'            'is a folder' 'semppl-prep --ledger photos -o b.h5 photos'
check_err 5 'a ledger on a full disk'          '/dev/full' 'semppl-prep --ledger /dev/full -o full.h5 photos'
check_exit 1 'and no shard without it'         '[ -e full.h5 ]'
cp "$(find photos -type f | head -1)" first.jpg
check_err 2 'no picture is replaced'           'first\.jpg is a picture' 'semppl-prep -o first.jpg photos'
check_err 2 'nor by a ledger'                  'first\.jpg is a picture' \
    'semppl-prep --ledger first.jpg -o b.h5 photos'
mkdir numbered && cp first.jpg numbered/0.jpg
check_err 2 'nor by a numbered shard'          'numbered/0\.jpg is a picture' 'semppl-prep -o numbered/%d.jpg photos'
check 'which is whole'                         'cmp first.jpg numbered/0.jpg'
check_err 2 'no label list either'             'l\.tsv is an input' \
    'semppl-prep --labels l.tsv --ledger ./l.tsv -o b.h5 odd'
check_err 2 'nor a list of files'              'list is an input' 'semppl-prep --files-from list -o ./list'
check_err 2 'two names of one file'            'both the shard and the ledger' \
    'semppl-prep --ledger ./a.h5 -o a.h5 photos'
check_err 3 'no folder for the output'         'nofolder' 'semppl-prep -o nofolder/b.h5 photos'
check_out 'nothing is left behind'             '' 'find . -name "*.tmp.*"'
finish
