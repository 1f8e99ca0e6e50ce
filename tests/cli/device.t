#!/usr/bin/env bash
# --device: words, the search for the plugin, what is said of a plugin that is missing or wrong, and, where there is one
# for tests, the programs on a device.
# shellcheck source=tests/cli/lib.sh disable=SC2016
. "${BASH_SOURCE[0]%/*}/lib.sh"

unset SEMPPL_CUDA CUDA_VISIBLE_DEVICES
"$BUILD"/examples/draw-shapes photos 4 1 >/dev/null
semppl-prep -q --labels-per-class 2 --pixels 16 -o train.h5 photos
semppl-ckpt new --preset cifar --width 0.125 --hidden 16 --dim 8 --batch 8 --large-side 16 --steps 4 -o 0.h5
semppl-embed -q --device cpu -c 0.h5 -o e.h5 train.h5

# Programs in a folder of their own, whatever lies beside those of the build.
mkdir -p at/bin at/lib/semppl
for p in embed knn eval train-step ckpt; do cp "$BUILD/semppl-$p" at/bin; done
PATH=$T_DIR/at/bin:$PATH
hash -r

train() { semppl-train-step -q -n 1 -c 0.h5 -o 1.h5 "$@" train.h5; }
embed() { semppl-embed -c 0.h5 -o p.h5 "$@" train.h5; }
vote() { semppl-knn -q "$@" e.h5; }
eval_knn() { semppl-eval knn -q "$@" e.h5; }
eval_linear() { semppl-eval linear -q "$@" e.h5; }
runs='train embed vote eval_knn eval_linear'

# -- words ----

for run in $runs; do
    check_err 2 "$run: a word that is none" "wants auto, cpu, cuda or cuda:N, not 'gpu'" "$run --device gpu"
    check_exit 0 "$run: auto without a plugin" "$run --device auto"
    check_err 5 "$run: cuda without a plugin" '--device cuda: libsemppl-cuda.so is not installed with this program$' \
        "$run --device cuda"
done
for word in cuda: cuda:x cuda:-1 cuda:1x 'cuda: 1' cuda:99999 cuda0 CUDA CPU 'auto '; do
    check_err 2 "'$word' is no device" "not '$word'" "vote --device '$word'"
done
check_err 2 'nor is an empty word' 'not empty' 'vote --device ""'
check 'auto is silent' 'embed -q --device auto 2>err && [ ! -s err ]'
check_err 0 'but for -v' 'no CUDA device: libsemppl-cuda.so is not installed' 'embed -v'
check_same 'auto is the CPU then' 'vote' 'vote --device cpu'
device_of() { h5dump -d history "$1" | grep -o 'device[^,}]*' | tail -1; }
check_out 'the history tells where' 'device": "cpu"' 'device_of p.h5'
check 'drawn crops need no device' 'semppl-train-step -n 0 --device cuda --show-views v.png -c 0.h5 train.h5 && [ -s v.png ]'

check_err 2 'selftest takes no operand' 'no operand' 'semppl-ckpt selftest x'
check 'selftest without a plugin' 'semppl-ckpt selftest >self'
check 'says so' 'grep -q "^plugin: none, libsemppl-cuda.so is not installed" self'
check 'the kernels of the processor are as defined' 'grep -qE "^cpu [a-z0-9]+: ([0-9]+) of \1 checks of kernels are as defined" self'
check 'whatever it has' 'for i in ref generic avx2 avx512 avx512bf16 amx; do SEMPPL_ISA=$i semppl-ckpt selftest -j3 || exit 1; done'

# -- finding it ----

# plugin FILE [BODY-OF-count [WORDS-OF-trouble [CHANGE-OF-q]]]: one that opens as many devices as it counts, on which
# there is no memory
plugin() {
    local says='return say(why, room, -ENODEV, SPEAKS " speaks");'
    cat >plugin.c <<END
#include "kernels/plugin.h"
#include <stdio.h>
#include <string.h>
#define SPEAKS "$1"
static int say(char *why, size_t room, int rc, const char *text) { snprintf(why, room, "%s", text); return rc; }
static int count(char *why, size_t room) { ${2:-$says} }
static uint64_t much(struct kern *kn) { return UINT64_MAX; }
static int fails(void) { return -EIO; }
static void *no_room(struct kern *kn UNUSED, size_t n UNUSED) { return NULL; }
static void end(struct kern *kn) { kn->device_state = NULL; }
static int begin(struct kern *kn, int index, char *why, size_t room)
{
    int n = count(why, room);
    for (size_t i = 0; i < sizeof kn->ops / sizeof(void *); i++)
        ((void **)&kn->ops)[i] = (void *)fails;
    kn->ops.alloc = no_room;
    kn->ops.available = much;
    kn->device_state = kn;
    snprintf(kn->description, sizeof kn->description, "cuda:%d Test", index);
    return n < 0 ? n : index < n ? 0 : say(why, room, -ENODEV, "too many");
}
static const char *trouble(void) { return ${3:-NULL}; }
static void report(char *text, size_t room) { snprintf(text, room, "devices: of %s\n", SPEAKS); }
static const struct kern_plugin p = { .abi = KERN_ABI, .table_size = sizeof(struct kern_ops),
    .state_size = sizeof(struct kern), .count = count, .open = begin, .close = end, .trouble = trouble, .report = report };
const struct kern_plugin *semppl_cuda_plugin(void);
const struct kern_plugin *semppl_cuda_plugin(void)
{
    static struct kern_plugin q;
    q = p;
    ${4:-}
    return &q;
}
END
    build_plugin "$1"
}
build_plugin() { # FILE: from plugin.c
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -w -fPIC -shared -I"$TOP" -o "$1" plugin.c
}
name=libsemppl-cuda.so

plugin "./$name"
check_err 5 'not in the current folder' 'not installed' 'LD_LIBRARY_PATH=$PWD:. vote --device cuda'
check_err 5 'nor by a bare name' "SEMPPL_CUDA is no path: $name; ./$name would be" \
    "LD_LIBRARY_PATH=\$PWD:. SEMPPL_CUDA=$name vote --device cuda"
check_err 5 'but by a relative path' "^semppl-knn: --device cuda: ./$name speaks$" "SEMPPL_CUDA=./$name vote --device cuda"
check_err 5 'and by an absolute one' "./$name speaks" "SEMPPL_CUDA=\$PWD/$name vote --device cuda"
check_err 5 'an empty name is none' 'not installed' 'SEMPPL_CUDA= vote --device cuda'
plugin at/lib/semppl/$name
check_err 5 'where programs are installed' "at/lib/semppl/$name speaks" 'vote --device cuda'
ln -s at/bin/semppl-knn link
check_err 5 'also through a link' "at/lib/semppl/$name speaks" './link -q --device cuda e.h5'
plugin at/bin/$name
check_err 5 'beside the program goes first' "at/bin/$name speaks" 'vote --device cuda'
check_err 5 'the name before both' "device cuda: ./$name speaks" "SEMPPL_CUDA=./$name vote --device cuda"
rm at/bin/$name at/lib/semppl/$name

# -- what is wrong with it ----

echo 'some words, and not a library at all: it is long enough to have had a header' >text.so
echo short >short.so
for f in text short; do
    check_err 5 "a text file ($f)" "the CUDA plugin does not load: ./$f.so: " "SEMPPL_CUDA=./$f.so vote --device cuda"
done
check_err 5 'a folder' 'does not load: ./at: ' 'SEMPPL_CUDA=./at vote --device cuda'
check_err 5 'a file that is not there' 'does not load: ./gone.so: .*No such file' 'SEMPPL_CUDA=./gone.so vote --device cuda'
check_err 0 'of which auto warns' 'warning: computing on the CPU: .*gone.so' 'SEMPPL_CUDA=./gone.so embed'
check_err 5 'a path too long' 'too long' 'SEMPPL_CUDA=/$(printf %5000s x | tr " " /) vote --device cuda'
echo 'int other; extern int nowhere(void); int f(void) { return nowhere(); }' >plugin.c
build_plugin open.so
check_err 5 'one that lacks what it needs' 'does not load: ./open.so: undefined symbol: nowhere' \
    'SEMPPL_CUDA=./open.so vote --device cuda'
echo 'int other;' >plugin.c
build_plugin other.so
check_err 5 'another library' './other.so is no plugin of semppl-tools' 'SEMPPL_CUDA=./other.so vote --device cuda'
for wrong in abi=1 abi++ table_size-=8 state_size+=16; do
    plugin ./wrong.so '' '' "q.$wrong;"
    check_err 5 "another version ($wrong)" './wrong.so is of another version than this program' \
        'SEMPPL_CUDA=./wrong.so vote --device cuda'
done
check_err 0 'of which auto warns too' 'warning: computing on the CPU: .*another version' 'SEMPPL_CUDA=./wrong.so embed'

plugin ./broken.so 'return say(why, room, -EIO, "the device is lost");'
check_err 5 'a device that does not work' '--device cuda:1: the device is lost$' 'SEMPPL_CUDA=./broken.so vote --device cuda:1'
check_err 0 'is warned of by auto' 'warning: computing on the CPU: the device is lost$' 'SEMPPL_CUDA=./broken.so embed'
check_same 'which goes on' 'vote' 'SEMPPL_CUDA=./broken.so vote'
plugin ./none.so 'return say(why, room, -ENODEV, "no device here");'
check 'no device is no reason for words' 'SEMPPL_CUDA=./none.so embed -q 2>err && [ ! -s err ] &&
    SEMPPL_CUDA=./none.so embed 2>err && ! grep -q device err'
check_err 0 'but for -v' 'no CUDA device: no device here' 'SEMPPL_CUDA=./none.so embed -v'

plugin ./two.so 'return 2;' '"an illegal thing was done"'
check_err 5 'a number that is not there' '--device cuda:2: too many' 'SEMPPL_CUDA=./two.so vote --device cuda:2'
check_err 5 'one that is' 'computing on cuda:1 Test$' 'SEMPPL_CUDA=./two.so semppl-knn --device cuda:1 e.h5'
check_err 5 'without a number the first' 'computing on cuda:0 Test$' 'SEMPPL_CUDA=./two.so semppl-knn --device cuda e.h5'
check_err 5 'a device that fails at work speaks' '^semppl-knn: .+; cuda:1 Test failed: an illegal thing was done$' \
    'SEMPPL_CUDA=./two.so vote --device cuda:1'
for run in $runs; do
    check_err 5 "$run on it" 'cuda:0 Test failed: an illegal thing was done$' "SEMPPL_CUDA=./two.so $run --device cuda"
done

# What is not there is no failure, what is there and does not work is one.
check_out 'selftest: no device' 'devices: of ./none.so' 'SEMPPL_CUDA=./none.so semppl-ckpt selftest | tail -1'
for f in wrong broken two; do
    check_err 1 "selftest: a plugin of which nothing works ($f)" 'something on this machine does not work' \
        "SEMPPL_CUDA=./$f.so semppl-ckpt selftest"
done
check_out 'each family says why' 'cuda:1 Test: batch norm in bfloat16 FAILS: an illegal thing was done' \
    'SEMPPL_CUDA=./two.so semppl-ckpt selftest | grep "cuda:1.*norm in bf"'

# -- one for tests, with the threads of the host as its device ----

fake=$BUILD/fake/$name
if [ ! -e "$fake" ]; then
    skip 'programs on a device' 'not built: make build/fake/libsemppl-cuda.so'
else
    export SEMPPL_CUDA=$fake SEMPPL_CACHE=$PWD/cache SEMPPL_ENGINES=2 # the engines of the first run are those of the next
    check 'selftest on a device' 'semppl-ckpt selftest >self'
    check 'all its kernels are as defined' 'grep -qE "^cuda:0 .*: ([0-9]+) of \1 checks of kernels are as defined" self'
    check_err 0 'embed takes the device by itself' 'computing on cuda:0 fibers' 'embed'
    check 'silently if asked' 'embed -q 2>err && [ ! -s err ]'
    check_out 'the history tells where' 'device": "cuda fibers"' 'device_of p.h5'
    check 'activations are bfloat16 then' 'h5dump -d history p.h5 | grep "embed.*precision.*bf16"'
    semppl-prep -q --pixels 16 -o all.h5 photos
    both() { # PRECISION: each picture's nearest on the CPU of those on the device, and how near
        semppl-embed -q --device cpu --precision f32 -c 0.h5 -o a.h5 all.h5 &&
            semppl-embed -q --precision "$1" -c 0.h5 -o b.h5 all.h5 &&
            semppl-knn -q --device cpu -k 1 --show-neighbours 1 -b a.h5 b.h5
    }
    check_out 'vectors are close to those of the CPU' '' 'both bf16 | awk "\$1 != \$4 || \$6 < 0.998"'
    check_out 'in float32 they are the same to four places' '' 'both f32 | awk "\$1 != \$4 || \$6 != 1"'
    check_same 'votes are the same' 'vote --show-neighbours 5' 'vote --device cpu --show-neighbours 5'
    check_same 'scores too' 'eval_knn' 'eval_knn --device cpu'
    check_same 'and those of a probe' 'eval_linear | head -2' 'eval_linear --device cpu | head -2'
    check_err 0 'a step on it' 'computing on cuda:0 fibers' 'semppl-train-step -n 1 -c 0.h5 -o 1.h5 train.h5'
    check_out 'is one of its history' 'device": "cuda fibers"' 'device_of 1.h5'
    check 'a step is the same again' 'train && cp 1.h5 again.h5 && train && semppl-ckpt compare 1.h5 again.h5'
    check 'and on the second device of two, by all threads' \
        'SEMPPL_SHIM_DEVICES=2 train --device cuda:1 && semppl-ckpt compare 1.h5 again.h5'
    check_err 5 'here it is one device' '--device cuda:1: there is no CUDA device 1: the last is 0$' 'vote --device cuda:1'
    check_err 0 'pixels need none' '^semppl-embed: [0-9]* pictures' 'semppl-embed --layer pixels -o q.h5 train.h5 && ! grep "computing on" .err'
    unset SEMPPL_CUDA SEMPPL_CACHE SEMPPL_ENGINES
fi

# -- the real one, on a machine without a device ----

real=$BUILD/$name
if [ "${CUDA-1}" = 0 ] || [ ! -e "$real" ]; then # with CUDA=0 there may be one of earlier sources
    skip 'the plugin itself' 'not built: make CUDA=1'
elif [ -e /dev/nvidiactl ]; then
    skip 'the plugin without a device' 'there is one'
else
    check_err 5 'the plugin itself says what is missing' '--device cuda: (no NVIDIA driver was found|this machine has no CUDA device)$' \
        'SEMPPL_CUDA=$real vote --device cuda'
    check_out 'auto is silent about it' '' 'SEMPPL_CUDA=$real embed -q 2>&1'
    check_out 'selftest finds what is there' '0
driver: none
devices: none, no NVIDIA driver was found' 'SEMPPL_CUDA=$real semppl-ckpt selftest >self; echo $?; grep -e ^driver -e ^devices self'
    check_out 'it has one visible symbol' 'semppl_cuda_plugin' 'nm -D --defined-only "$real" | sed "s/.* //"'
fi
finish
