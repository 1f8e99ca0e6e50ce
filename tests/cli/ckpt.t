#!/usr/bin/env bash
# semppl-ckpt: new, show, compare
# shellcheck source=tests/cli/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

tiny=(--encoder resnet18 --stem small --width 0.125 --hidden 16 --dim 8 --queue 10)
new() { semppl-ckpt new "${tiny[@]}" "$@"; }
# json FILE KEY: the first value of that key that show --json prints
json() { semppl-ckpt show --json "$1" | grep -oE "\"$2\": [^,}]*" | sed -n '1s/.*: //p'; }

check      'new makes a checkpoint'            'new -o a.h5'
check_same 'the same again, byte for byte'     'cat a.h5' 'new -o a.h5 && cat a.h5'
check_same 'a pipe carries the same numbers'   'new -o - | semppl-ckpt show - | grep -v semppl-ckpt' \
                                               'semppl-ckpt show a.h5 | grep -v semppl-ckpt'
check_exit 0 'equal ones are equal'            'semppl-ckpt compare a.h5 a.h5'
new -o b.h5 --preset cifar
check_exit 0 'history does not count'          'semppl-ckpt compare a.h5 b.h5'
new -o c.h5 --seed 2
check_err 1 'another seed differs'             'seed|online/' 'semppl-ckpt compare a.h5 c.h5'
big=18446744073709551615
new -o big.h5 --seed $big
new -o big2.h5 --seed 9223372036854775808
check_err 1 'a seed above 2^63'                "seed is $big in big.h5, 9223372036854775808 in" \
    'semppl-ckpt compare big.h5 big2.h5'
check 'comes back'                             "semppl-ckpt show --json big.h5 | grep -q '\"seed\": ${big}[,}]' &&
    semppl-ckpt show big.h5 | grep -q ' $big '"
new -o d.h5 --tau 0.5
check_err 1 'a setting differs, and is named'  'tau.*0\.2.*0\.5' 'semppl-ckpt compare a.h5 d.h5'
head -c 20000 a.h5 >cut.h5
check_err 3 'a cut file is no checkpoint'      'cut\.h5' 'semppl-ckpt compare a.h5 cut.h5'
check_err 3 'nor is a missing one'             'none\.h5' 'semppl-ckpt show none.h5'
echo text >text.h5
check_err 3 'nor is text'                      'text\.h5' 'semppl-ckpt show text.h5'

check_out 'a small stem brings the preset for small pictures' $'256\n32\n4' \
    'json a.h5 batch; json a.h5 large_side; json a.h5 base_lr'
new --preset imagenet --large-side 32 -o i.h5
check_out 'unless one is given' $'4096\n"small"' 'json i.h5 batch; json i.h5 stem'
check_out 'the object says what is in it' $'1\n10\n0\n16\n0' \
    'json a.h5 v; json a.h5 capacity; json a.h5 fill; json a.h5 hidden; json a.h5 step'
presets() { sed -n "/^ *[-]p, /,/^  *--/s/^      \([a-z][a-z0-9-]*\)  .*/\1/p" <(semppl-ckpt new --help); }
check_same 'the manual has every preset'       'presets' \
    'sed -n "/^\.Ss Presets/,/^\.El/s/^\.It Cm //p" "$TOP/man/semppl-ckpt.1" | sed "s/ , /\n/g"'
check 'all of them make a checkpoint' 'presets >p && [ -s p ] && while read -r p; do new -p "$p" --large-side 32 -o p.h5 || exit; done <p'
new -p byol-40 --large-side 32 --base-ema 0.5 -o p.h5
check_out 'a preset over a preset, under an option' $'40\n0.45\n0.5\n4096' \
    'json p.h5 epochs; json p.h5 base_lr; json p.h5 base_ema; json p.h5 batch'
check_err 2 'an unknown one'                   'cifar-200' 'new -p byol -o x.h5'
check 'the seed is in the history' 'semppl-ckpt show --json c.h5 | grep -q "\"history\": .*\"seed\": 2}]}$"'
# one eighth of a ResNet-18: stem 27 c, groups of 3x3 and 1x1 convolutions, two numbers a batch norm, c = 8
check_out 'parameters and multiply-accumulates' $'175832\n8937472' 'json a.h5 parameters; json a.h5 macs'
semppl-ckpt new --encoder resnet50 --sk yes --width 0.125 --hidden 16 --dim 8 --queue 10 --large-side 64 -o k.h5
check 'show tells of selective kernels'        'semppl-ckpt show k.h5 | grep -q "^encoder  *resnet50 with selective kernels,"'
check 'show names every setting'               'semppl-ckpt show a.h5 | grep -q "labelled_ratio  *5 .*\[third party\]"'
check 'a value of another preset is not called the source'"'"'s' \
    'semppl-ckpt show a.h5 | grep -q "base_lr  *4 .*\[preset imagenet: 0.3, byol\]"'

# The manual tells the presets as they are, but for what this test makes tiny.
manual() {
    awk '/^\.It Fl \\-/ { name = substr($3, 3); gsub(/-/, "_", name) }
         /^Default .*; cifar / { sub(/\.$/, ""); sub(/Default /, ""); split($0, f, "; ")
                                 sub(/cifar /, "", f[2]); print name, f[w], w == 1 ? "[" f[3] "]" : "" }' \
        w="$1" "$TOP/man/semppl-ckpt.1" | tiny_aside
}
table() {
    semppl-ckpt show "$2" | sed -n '/^settings/,/^history/p' |
        awk 'NF > 2 { b = $0; sub(/.*\[/, "[", b); print $1, $2, w == 1 ? b : "" }' w="$1" | tiny_aside
}
tiny_aside() { grep -vE '^(encoder|stem|width|hidden|dim|queue|large_side) '; }
check_same 'the manual has the imagenet preset, with its sources' 'manual 1' 'table 1 i.h5'
check_same 'and the cifar preset'              'manual 2' 'table 2 a.h5'
check 'dozens of them'                         '[ "$(manual 1 | wc -l)" -gt 40 ]'

check_err 2 'width is a multiple of 1/8'       '1/8' 'semppl-ckpt new --width 0.3 -o x.h5'
check_err 2 'a width of at most 4'             '0\.125.*4' 'semppl-ckpt new --width 4.125 -o x.h5'
check_err 2 'selective kernels are for bottlenecks' 'sk.*resnet18' 'new --sk yes -o x.h5'
check_err 2 'an unknown encoder'               'resnet9' 'semppl-ckpt new --encoder resnet9 -o x.h5'
check_err 2 'new takes no operand'             'x\.h5' 'semppl-ckpt new x.h5'
check_err 2 'compare wants two'                'two' 'semppl-ckpt compare a.h5'
check_err 2 'but standard input is one'        'once only' 'semppl-ckpt compare - - <a.h5'
check_err 2 'show wants one'                   'one' 'semppl-ckpt show'
check_exit 2 'a temperature of zero'           'new --tau 0 -o x.h5'
check 'nothing was written on failure'         '! [ -e x.h5 ]'
check 'nothing is left behind'                 '! ls -A | grep -q tmp'

python=
for p in python3 /usr/bin/python3; do "$p" -c 'import h5py' 2>/dev/null && python=$p; done
if [ "$python" ]; then
    check_out 'h5py reads the tensors' '(8, 3, 3, 3) 1' "$python -c '
import h5py
f = h5py.File(\"a.h5\", \"r\")
print(f[\"online/encoder/conv1.weight\"].shape, f.attrs[\"seed\"])'"
else
    skip 'h5py reads the tensors' 'no h5py'
fi
finish
