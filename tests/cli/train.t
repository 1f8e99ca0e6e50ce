#!/usr/bin/env bash
# semppl-train-step: a function of checkpoint, data and n; refusals, signals, the log
# shellcheck source=tests/cli/lib.sh disable=SC2016
. "${BASH_SOURCE[0]%/*}/lib.sh"

"$BUILD/examples/draw-shapes" photos 4 1
semppl-prep -q -o train.h5 --labels-per-class 2 photos
semppl-prep -q -o part-%d.h5 --shard-size 64Ki --labels-per-class 2 photos
semppl-prep -q -o pixels.h5 --pixels 24 --labels-per-class 2 photos
mkdir flat # the same pictures without classes
for d in photos/*; do for i in 0 1; do cp "$d/0000$i.jpg" "flat/${d##*/}-$i.jpg"; done; done
semppl-prep -q -o unlabelled.h5 flat

new() {
    semppl-ckpt new --preset cifar --encoder resnet18 --width 0.125 --stem small --large-side 16 --hidden 16 --dim 8 \
        --batch 12 --queue 40 --steps 40 "$@"
}
train() { semppl-train-step -q "$@"; }
same() { semppl-ckpt compare "$1" "$2"; }
# last KEY FILE: the value of a key in the last line of a log
last() { tail -n 1 "$2" | sed -n "s/.*\"$1\": \\([^,}]*\\).*/\\1/p"; }

new -o 0.h5
# -- the same bits, however it is cut and run
check 'four steps'                   'train -j 1 -n 4 -c 0.h5 -o 4.h5 --log log train.h5'
check 'two steps, then two'          'train -j 2 -n 2 -c 0.h5 -o 2.h5 train.h5 && train -j 3 -n 2 -c 2.h5 -o 22.h5 train.h5'
check 'are four, whatever -j'        'same 4.h5 22.h5'
check_exit 1 'and not two'           'same 4.h5 2.h5'
check 'in place'                     'cp 2.h5 p.h5 && train -n 2 -c p.h5 -o p.h5 train.h5 && same 4.h5 p.h5'
check 'through pipes'                'train -n 2 train.h5 <0.h5 | train -n 2 train.h5 | cat >q.h5 && same 4.h5 q.h5'
check 'the data in several shards'   '[ -e part-1.h5 ] && train -n 4 -c 0.h5 -o s.h5 part-*.h5 && same 4.h5 s.h5'
check 'data from a pipe'             'train -n 4 -c 0.h5 -o r.h5 - <train.h5 && same 4.h5 r.h5'
new --small-crops 1 --small-side 8 --invariance S --neighbours 3 -o s0.h5
check 'all terms of the loss'        'train -j 1 -n 3 -c s0.h5 -o s3.h5 --log slog pixels.h5'
check 'the same bits for them too'   'train -j 3 -n 2 -c s0.h5 -o s2.h5 pixels.h5 && train -j 2 -n 1 -c s2.h5 -o s21.h5 pixels.h5 && same s3.h5 s21.h5'
check 'an invariance that is felt'   '[ "$(last loss_inv slog)" != 0 ] && [ "$(last loss_inv log)" = 0 ]'
new --encoder resnet50 --sk yes -o k0.h5
check 'selective kernels'            'train -j 1 -n 2 -c k0.h5 -o k2.h5 train.h5'
check 'the same bits for them too'   'train -j 3 -n 1 -c k0.h5 -o k1.h5 train.h5 && train -j 2 -n 1 -c k1.h5 -o k11.h5 train.h5 && same k2.h5 k11.h5'
new --loss-orientation target --invariance R --exclude-class yes --vote-rule draw --neighbours 3 --labelled-again no -o f0.h5
check 'losses that meet many rows'   'train -j 1 -n 3 -c f0.h5 -o f3.h5 pixels.h5'
check 'the same bits for them too'   'train -j 3 -n 2 -c f0.h5 -o f2.h5 pixels.h5 && train -j 2 -n 1 -c f2.h5 -o f21.h5 pixels.h5 && same f3.h5 f21.h5'

# -- in micro-batches
micro() { train --set micro_batch="$1" "${@:2}" pixels.h5; }
check 'parts of a batch'             'micro 6 -j 1 -n 2 -c s2.h5 -o m4.h5'
check 'the same bits, however cut'   'micro 6 -j 3 -n 1 -c s2.h5 -o m3.h5 && train -n 1 -c m3.h5 -o m31.h5 pixels.h5 && same m4.h5 m31.h5'
check 'all of it: the same bits as without' 'micro 12 -n 1 -c s2.h5 -o m.h5 && micro 0 -n 0 -c m.h5 -o m.h5 && same s3.h5 m.h5'
check_err 1 'a half: others'         'tensor' 'micro 0 -n 0 -c m3.h5 -o m.h5 && same s3.h5 m.h5'
check_err 2 'a part that leaves a rest' 'micro_batch 5 .*batch 12' 'micro 5 -n 1 -c 0.h5 -o x.h5'

# -- the log
check_out 'one object a step'        '1 2 3 4 ' 'sed "s/.*\"step\": \([0-9]*\).*/\1/" log | tr "\n" " "'
for key in v step loss loss_augm loss_sempos loss_inv lr ema grad_norm queue_fill pseudo_accuracy vote_share spread \
    images_per_s t_data t_forward t_backward t_update; do
    last $key log | grep -Eq '^-?[0-9.]+(e[-+][0-9]+)?$' || echo "$key: $(last $key log)"
done >odd
check_out 'with all its keys'        '' 'cat odd'
check_out 'the first rate is 0'      '0' 'sed -n "1s/.*\"lr\": \([^,]*\).*/\1/p" log'
check_out 'two labelled places a step' '0.2' 'last queue_fill log'
train -n 1 -c 4.h5 -o 5.h5 --log log train.h5
check_out 'a log grows'              '5' 'wc -l <log'
check_err 0 'how long it waited'     '2 steps.*[0-9.]+ s or [0-9]+% waiting for data' 'semppl-train-step -n 2 -c 0.h5 -o l.h5 train.h5'

# -- a dump
dump() { train --precision f32 -n 1 -c s2.h5 -o d.h5 "$@" pixels.h5; }
both() { train -n 1 -c s2.h5 --dump-step - pixels.h5 >x; }
listed() { h5dump -n 1 "$1" | sed -n "s|.*dataset  *$2||p"; }
check 'a step is dumped'             'dump -j 2 --log dlog --dump-step dump.h5'
check 'and is the same step'         'cp d.h5 d0.h5 && dump && same d.h5 d0.h5'
check_same 'whatever -j'             'dump -j 1 --dump-step -' 'dump -j 3 --dump-step -'
check_out 'what a view is made of'   'brightness contrast fill flip grey height hue input jitter left mask order prediction projection saturation sigma solarise top width ' \
                                     'listed dump.h5 /view/1/ | sort | tr "\n" " "'
check_out 'and the rest'             '/batch/given /batch/id /batch/label /batch/row /batch/truth /loss/contrast /loss/divergence /loss/negatives /loss/positives /vote/label /vote/similarity ' \
                                     'listed dump.h5 "" | grep -Ev "^/(view|gradient|history)" | tr "\n" " "'
check_same 'a gradient for each momentum' 'listed dump.h5 /gradient/' 'listed d.h5 /momentum/'
check_same 'numbers as in the log'   'printf "%.6g\n" "$(last loss dlog)"' 'h5dump -m %.6g -a loss dump.h5 | sed -n "s/.*(0): //p"'
check_out 'shapes as the manual says' '( 3, 2, 12, 10 ) ( 3, 2, 3, 12 ) ( 3, 2, 4, 12 ) ( 10, 12 ) ( 12, 8, 8, 3 ) ' \
    'for d in loss/negatives loss/positives loss/contrast vote/label view/2/input; do h5dump -H -d $d dump.h5 | sed -n "s|.*SIMPLE { \(.*) \)/.*|\1|p"; done | tr -d "\n"'
check_err 2 'of one step only'       '-n 1' 'train -n 2 -c s2.h5 -o x.h5 --dump-step dump.h5 pixels.h5'
for p in f16 tf32; do
    check_err 2 "$p is for devices" "precision $p is for CUDA devices, and this is cpu" \
        "train --device cpu --precision $p -n 1 -c s2.h5 -o x.h5 pixels.h5"
done
check_err 2 'a loss scale for others' 'precision f16' 'train --precision bf16 --loss-scale 8 -n 1 -c s2.h5 -o x.h5 pixels.h5'
check_err 2 'one that would round'   'power of 2, not 1000' 'train --precision f16 --loss-scale 1000 -n 1 -c s2.h5 -o x.h5 pixels.h5'
check_err 2 'of float32 only'        'precision f32' 'train -n 1 --precision bf16 -c s2.h5 -o x.h5 --dump-step y.h5 pixels.h5'
check_err 2 'not with the checkpoint in one pipe' 'standard output' both
# -- nothing that is read is written over, and no file is written twice
cp s2.h5 s2.png
cp pixels.h5 pixels.png
twice() { check_err 2 "$1 and $2 are not one file" 'x\.png cannot take two outputs' "train -n 1 -c s2.h5 --precision f32 -o o.h5 $1 x.png $2 x.png pixels.h5"; }
for option in --log --show-views --dump-step; do
    for used in s2.png pixels.png; do
        cp $used kept
        check_err 2 "$option not into $used" 'png is an input' "train -n 1 -c s2.png --precision f32 -o o.h5 $option ./$used pixels.png"
        check 'which is whole'           'cmp $used kept'
    done
    twice -o $option
done
twice --log --show-views
twice --log --dump-step
twice --show-views --dump-step
check_err 2 'nor by crops alone'     'png is an input' 'train -n 0 -c s2.png --show-views s2.png pixels.h5'
check_err 2 'nor shards by a checkpoint' 'png is an input' 'train -n 1 -c s2.h5 -o pixels.png pixels.png'
check 'nothing was written'          '! [ -e x.png ] && cmp pixels.png pixels.h5 && cmp s2.png s2.h5'
check_err 3 'nowhere to write it'    'none/x\.h5' 'dump --dump-step none/x.h5'
check_err 3 'no step to dump'        'schedule has ended' 'dump --set steps=2 --dump-step x.h5'

# -- other ways to train
check 'alpha 0'                      'train -n 2 -c 0.h5 -o a.h5 --set alpha=0 --log alog train.h5'
check_out 'has no semantic term'     'null' 'last loss_sempos alog'
check 'ratio 0'                      'train -n 2 -c 0.h5 -o u.h5 --set labelled_ratio=0 --log ulog train.h5'
check_err 0 'no labels at all'       'no picture has a label' 'semppl-train-step -n 2 -c 0.h5 -o n.h5 --log nlog unlabelled.h5'
check_out 'then nobody votes'        'null null 0' 'echo "$(last vote_share nlog) $(last loss_sempos nlog) $(last queue_fill nlog)"'
check_err 0 'an oracle is not used in silence' 'oracle: 20 of 20 .*truth' 'semppl-train-step -n 2 -c 0.h5 -o y.h5 --set pseudo_labels=oracle --log ylog train.h5'
check_err 0 'nor is one that knows nothing' 'oracle: 0 of 20 .*truth' 'semppl-train-step -n 0 -c 0.h5 -o x.h5 --set pseudo_labels=oracle unlabelled.h5; rm x.h5'
check 'and is felt'                  '[ "$(last loss ylog)" != "$(sed -n 2p log | sed "s/.*\"loss\": \([^,]*\).*/\1/")" ]'

# -- what the networks see
semppl-prep -q -o masked.h5 --saliency --labels-per-class 2 photos
check 'the crops of the next step'   'train -n 0 -c s0.h5 --show-views v.png pixels.h5 >none.h5 && [ ! -s none.h5 ]'
check_out 'are a picture'            'PNG' 'head -c 4 v.png | tail -c 3'
check_same 'of that step, whatever -j' 'train -j 1 -n 0 -c s0.h5 --show-views v1.png pixels.h5; cat v.png' \
    'train -j 3 -n 0 -c s0.h5 --show-views v1.png pixels.h5; cat v1.png'
check_exit 1 'the next one has others' 'train -n 0 -c s2.h5 --show-views v2.png pixels.h5; cmp -s v.png v2.png'
check 'with a checkpoint as well'    'train -n 2 -c s0.h5 -o sv.h5 --show-views v3.png pixels.h5 && same s2.h5 sv.h5 && cmp v.png v3.png'
check 'masks change large crops'     'train -n 0 -c s0.h5 --show-views m0.png --set mask_probability=0 masked.h5 &&
    train -n 0 -c s0.h5 --show-views m1.png --set mask_probability=1 masked.h5 && ! cmp -s m0.png m1.png'
with() { train -n 2 -c 0.h5 -o "$1" --set mask_probability="$2" --log "$1.log" "$3"; }
check 'and what is learned'          'with m1.h5 1 masked.h5 && with p1.h5 1 train.h5 && ! same m1.h5 p1.h5'
check 'with probability 0 they are as if there were none' 'with m0.h5 0 masked.h5 && with p0.h5 0 train.h5 && same m0.h5 p0.h5'
check_out 'nor does it matter without masks' "$(last loss p0.h5.log)" 'last loss p1.h5.log'
ln -s /dev/full full.png
check_err 5 'a picture on a full disk' 'full' 'train -n 0 -c s0.h5 --show-views full.png pixels.h5'
check_err 2 'a picture of no kind'   'show-views v\.gif' 'train -n 0 -c s0.h5 --show-views v.gif pixels.h5'

# -- settings
check 'a setting stays'              'train -n 1 -c 0.h5 -o t.h5 --set tau=0.5 train.h5 && semppl-ckpt show t.h5 | grep -q "tau.*0\.5"'
check 'and is in the history'        'semppl-ckpt show t.h5 | grep -q "tau=0.5"'
check_err 2 'an unknown one'         'taub' 'train -n 1 -c 0.h5 -o x.h5 --set taub=0.5 train.h5'
check_err 2 'one that is fixed'      'dim' 'train -n 1 -c 0.h5 -o x.h5 --set dim=16 train.h5'

escape=$(printf '\033') csi=$(printf '\302\233') # U+009B, which some terminals obey as well
mkdir -p "escape/a$escape${csi}b" && cp "$(find photos -type f | head -1)" "escape/a$escape${csi}b"
check 'names of classes are shown without control characters' 'semppl-prep -q -o e.h5 escape && train -n 1 -c 0.h5 -o e1.h5 e.h5 &&
    semppl-ckpt show e1.h5 >shown && grep -q "^classes  *1 a??b$" shown &&
    ! grep -q -e "$escape" -e "$csi" shown'

# -- refusals: nothing is written
check_err 3 'other data'             '20 pictures.*40' 'train -n 1 -c 4.h5 -o x.h5 unlabelled.h5'
mv photos/star photos/zigzag
semppl-prep -q -o other.h5 --labels-per-class 2 photos
check_err 3 'other classes'          'zigzag' 'train -n 1 -c 4.h5 -o x.h5 other.h5'
cp train.h5 bad.h5
printf 'not a picture' | dd of=bad.h5 bs=1 seek=$(($(wc -c <bad.h5) / 2)) conv=notrunc status=none
check_err 3 'a picture that is damaged' 'bad\.h5: row [0-9]+ .*is damaged' 'train -n 12 -c 0.h5 -o x.h5 --log blog bad.h5'
check 'the steps before it were done' '[ "$(wc -l <blog)" -gt 0 ] && [ "$(wc -l <blog)" -lt 12 ]'
head -c 9000 train.h5 >cut.h5
check_err 3 'a shard that is cut off' 'cut\.h5' 'train -n 1 -c 0.h5 -o x.h5 cut.h5'
head -c 9000 0.h5 >cut0.h5
check_err 3 'so a checkpoint'        'cut0\.h5' 'train -n 1 -c cut0.h5 -o x.h5 train.h5'
check_err 2 'no data'                'shard' 'train -n 1 -c 0.h5 -o x.h5'
cp train.h5 kept.h5
check_err 2 'the data is not replaced'   'train\.h5 is an input' 'train -n 1 -c 0.h5 -o ./train.h5 train.h5'
check_err 2 'nor written to by the log'  'train\.h5 is an input' 'train -n 1 -c 0.h5 -o x.h5 --log train.h5 train.h5'
check_err 2 'nor is a checkpoint'        '0\.h5 is an input' 'train -n 1 -c 0.h5 -o x.h5 --log ./0.h5 train.h5'
check       'it is as it was'            'cmp train.h5 kept.h5'
check_err 2 'no number of steps'     '-n' 'train -c 0.h5 -o x.h5 train.h5'
check_err 2 'two things from one pipe' 'standard input' 'train -n 1 -o x.h5 - <train.h5'
check_err 3 'nowhere to write'       'none/x\.h5' 'train -n 1 -c 0.h5 -o none/x.h5 train.h5'
mkdir sub
check_err 3 'a folder is no place'   'is a folder' 'train -n 1 -c 0.h5 -o sub train.h5'
check_err 3 'said before the work'    'is a folder' 'train -n 1 -c 0.h5 -o sub gone.h5'
check_err 5 'too big for the memory' 'GB.*batch' 'train -n 1 -c 0.h5 -o x.h5 --set batch=1048576 train.h5'
# A limit on address space, which sanitizers cannot live with: of 2.7 GB, half is there.
limited() { (ulimit -v 2000000 && semppl-train-step -q "$@"); }
if limited --version >/dev/null 2>&1; then
    check_err 5 'one that would fit in parts' 'micro_batch=480 makes that about 1\.. GB' \
        'limited -n 1 --precision f32 -c 0.h5 -o x.h5 --set batch=480 --set large_side=64 train.h5'
else
    skip 'one that would fit in parts' 'the programs do not start with so little memory'
fi
check_exit 1 'and no file appears'   '[ -e x.h5 ]'
wild='--set base_lr=1000 --set trust=1 --set weight_decay=1 --set momentum=0.99 --set warmup=0'
cp 4.h5 w.h5
check_err 6 'what is not finite stops it' 'step [0-9]+:.*not finite.* [0-9a-f]{16}' "train -n 30 -c w.h5 -o w.h5 $wild train.h5"
check 'and the checkpoint is whole'  'same w.h5 4.h5'

# -- the end of the schedule, and signals
check_err 0 'the schedule ends'      'schedule ends at step 6' 'semppl-train-step -n 9 -c 4.h5 -o e.h5 --set steps=6 train.h5'
check_err 0 'and is over'            'schedule ends at step 6' 'semppl-train-step -n 9 -c e.h5 -o e2.h5 train.h5 && same e.h5 e2.h5'
cut() { # SIGNAL ...
    local signal
    rm -f klog
    "${under[@]}" semppl-train-step -q -n 100000 -c 0.h5 -o k.h5 --set steps=100000 --log klog train.h5 &
    while [ ! -s klog ] && kill -0 $!; do sleep 0.05; done
    for signal; do kill "-$signal" $!; done
    wait $!
}
under=(perl -e '$SIG{HUP} = "DEFAULT"; exec @ARGV') # the tests themselves may be under nohup
check_err 7 'a signal: the step ends, and is saved' 'stopped by a signal' 'cut TERM'
check_err 7 'a key'                                 'stopped by a signal' 'cut INT'
check_err 7 'pressed twice'                         'stopped by a signal' 'cut INT INT'
check_err 7 'the terminal goes away'                'stopped by a signal' 'cut HUP'
under=(nohup)
check_exit 137 'but not for a run under nohup'      'cut HUP KILL'
check_exit 0 'which leaves no half file'            'train -n 1 -c k.h5 -o k1.h5 train.h5 && [ -z "$(ls k.h5.tmp.* 2>/dev/null)" ]'
under=()
check_err 7 'again'                                 'stopped by a signal' 'cut INT'
check 'with all its steps'           '[ "$(last step klog)" = "$(wc -l <klog)" ] && train -n "$(wc -l <klog)" -c 0.h5 -o k2.h5 --set steps=100000 train.h5 && same k.h5 k2.h5'
finish
