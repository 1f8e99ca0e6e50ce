#!/usr/bin/env bash
# semppl-ckpt import and export: there and back, other programs' files, and what is refused
# shellcheck source=tests/cli/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

export data=$TOP/tests/data
heads=(--hidden 16 --dim 8 --queue 10)
import() { semppl-ckpt import -q "${heads[@]}" "$@"; }
# json FILE KEY: the first value of that key in a JSON object
json() { grep -oE "\"$2\": [^,}]*" "$1" | sed -n '1s/.*: //p'; }

# -- there and back

semppl-ckpt new --encoder resnet18 --width 0.125 --padding same --shortcut all --mean-r 0.5 --eval-crop 0.9 \
    --large-side 64 "${heads[@]}" -o a.h5
check_err 2 'torchvision has no such network' 'no such conv1.weight .*--as-is' 'semppl-ckpt export a.h5 -o x.st'
check_err 0 'but it may be written, with a warning of the padding' 'padding is TensorFlow' \
    'semppl-ckpt export --as-is a.h5 -o a.st'
check 'and comes back' 'import a.st -o b.h5'
check_out 'with the settings of its input' $'"same"\n0.5\n0.9\n64\n0.125\n"all"' '
    semppl-ckpt show --json b.h5 >b.json
    for k in padding mean_r eval_crop large_side width shortcut; do json b.json $k; done'
check_same 'and the same features' 'semppl-ckpt export --as-is a.h5 -o a.st 2>&1 | grep "features of"' \
    'semppl-ckpt import "${heads[@]}" a.st -o x.h5 2>&1 | grep "features of"'
check_err 1 'a fresh network has not updated its statistics' 'counters/updates is 0 in a.h5, 1000 in b.h5' \
    'semppl-ckpt compare a.h5 b.h5'
semppl-ckpt export -q --as-is --target b.h5 -o target.st
check 'the target network is the same one' 'import target.st -o t.h5 && semppl-ckpt compare b.h5 t.h5'
check_same 'a pipe is as good as a file' 'import a.st -o - | semppl-ckpt show - | grep -v semppl-ckpt' \
    'import - -o - <a.st | semppl-ckpt show - | grep -v semppl-ckpt'
check_out 'options come before what the file says' '"torch"' \
    'import --padding torch a.st -o p.h5 && semppl-ckpt show --json p.h5 >p.json && json p.json padding'
check_err 3 'but not against its shapes' 'a.st: conv1.weight is \[8\]\[3\]\[7\]\[7\], not \[16\]\[3\]' \
    'import --width 0.25 a.st -o x.h5'
check 'the imported network embeds' '
    semppl-prep -q -o photos.h5 "$data"/rgb.jpg "$data"/tall.jpg && semppl-embed -q -c b.h5 -o e.h5 photos.h5'
check_out 'and says what it found' $'1\n63\n176792\n"unused": [], "unknown": [],' '
    import --json a.st -o x.h5 >i.json; json i.json v; json i.json tensors; json i.json parameters
    grep -oE "\"unused\".*\"unknown\": \[\]," i.json'
semppl-ckpt new --encoder resnet50 --sk yes --width 0.125 "${heads[@]}" -o sk.h5
check_err 2 'selective kernels are not torchvision'"'"'s' 'no such conv1.0.weight' 'semppl-ckpt export sk.h5 -o x.st'
check_same 'but come back too' 'semppl-ckpt export --as-is sk.h5 -o sk.st 2>&1 | grep "features of"' \
    'semppl-ckpt import "${heads[@]}" sk.st -o x.h5 2>&1 | grep "features of"'
check_err 2 'nor is the tiny network' 'torchvision has no tiny' \
    'semppl-ckpt new --encoder tiny "${heads[@]}" -o tiny.h5 && semppl-ckpt export tiny.h5 -o x.st'
rm -f x.h5

# What torchvision 0.29 makes of whole.st, by the Python lines of semppl-ckpt(1).
export torch='semppl-ckpt: features of the test pictures: 0.015153 0.708455 0.050143 0.145036 ...;
    means 0.174985 0.179908 0.175154'
semppl-ckpt new --encoder resnet18 --padding torch --shortcut needed "${heads[@]}" -o whole.h5
check 'features are those of torchvision' '
    semppl-ckpt export whole.h5 -o whole.st 2>&1 | tee /dev/stderr | awk -v want="$(echo $torch)" "
        { n = split(want, w)
          for (i = 1; i <= n; i++) if (\$i != w[i] && (\$i - w[i]) ^ 2 > 1e-8) bad = 1 }
        END { exit NR != 1 || n != 15 || bad }"'

# -- files of other programs

check_out 'all arrays of a pickle' $'20\ntypes/f4\tf4\t[3][4]' \
    'semppl-ckpt import -l "$data"/arrays-p2.pkl | tee l | wc -l; grep types/f4 l'
check_err 0 'and classes that are not known' 'nothing is known of the class lost.module.Thing' \
    'semppl-ckpt import -l "$data"/arrays-p4.pkl'
check_err 2 'a list is all' 'neither --json nor -o' 'semppl-ckpt import --list -o x.h5 "$data"/arrays-p2.pkl'
check_err 3 'arrays that are no ResNet' 'none of its 20 arrays is named as in a ResNet.*--list' \
    'import "$data"/arrays-p2.pkl -o x.h5'

python=
for p in python3 /usr/bin/python3; do "$p" -c 'import numpy' 2>/dev/null && python=$p; done
cat >haiku.py <<'END'
"""a.st with other numbers as r.st, and as dm-haiku's parameters and state on two devices."""
import json, pickle, re, struct
import numpy as np
raw = open("a.st", "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
head = json.loads(raw[8:8 + n])
rng, net = np.random.default_rng(1), {}
for name, t in head.items():
    if name != "__metadata__" and t["dtype"] == "F32":
        net[name] = rng.normal(size=t["shape"]).astype("f4") / 4
        if name.endswith("running_var"):
            net[name] = net[name] ** 2 + 0.5
            net[name[:-11] + "num_batches_tracked"] = np.array(7, "i8")
net["fc.weight"] = np.ones((10, 64), "f4")
def save(name, dtype, code, prefix=""):
    header, at, body = {}, 0, []
    for k, v in net.items():
        b = (code(v) if v.dtype == "f4" else v).tobytes()
        header[prefix + k] = {"dtype": dtype if v.dtype == "f4" else "I64", "shape": v.shape, "data_offsets": [at, at + len(b)]}
        at += len(b)
        body.append(b)
    text = json.dumps(header).encode()
    open(name, "wb").write(struct.pack("<Q", len(text)) + text + b"".join(body))
save("r.st", "F32", lambda v: v, "module.")
save("f64.st", "F64", lambda v: v.astype("f8"))
save("large.st", "F32", lambda v: v * np.float32(3e37 if v is net["layer4.1.bn2.weight"] else 1))
save("f16.st", "F16", lambda v: v.astype("f2"))
save("f16-f32.st", "F32", lambda v: v.astype("f2").astype("f4"))
params, state = {}, {}
for name, v in net.items():
    m = re.match(r"(?:layer(\d)\.(\d+)\.)?(conv|bn|downsample\.)(\d)\.(\w+)$", name)
    if not m or v.ndim == 0:
        continue
    group, block, kind, i, leaf = m.groups()
    if group:
        at = f"res_net18/~/block_group_{int(group) - 1}/~/block_{block}/~/"
        at += (["shortcut_conv", "shortcut_batchnorm"][int(i)] if kind == "downsample." else
               f"{'conv' if kind == 'conv' else 'batchnorm'}_{int(i) - 1}")
    else:
        at = "res_net18/~/initial_" + {"conv": "conv", "bn": "batchnorm"}[kind]
    if v.ndim == 4:
        v = v.transpose(2, 3, 1, 0)
    else:
        v = v.reshape(1, 1, 1, -1)
    v = np.ascontiguousarray(np.stack([v, v * 0]))  # the second device is not read
    if leaf.startswith("running_"):
        ema = f"{at}/~/{'mean' if leaf.endswith('mean') else 'var'}_ema"
        state[ema] = {"counter": np.array([7, 7], "i4"), "hidden": v * 2, "average": v}
    else:
        params.setdefault(at, {})["w" if v.shape[1] > 1 or "conv" in at else {"weight": "scale", "bias": "offset"}[leaf]] = v
tree = {"experiment_state": {"online_params": params, "online_state": state,
                             "target_params": {k: {l: x * 3 for l, x in d.items()} for k, d in params.items()}},
        "step": 12, "rng": np.arange(2, dtype="u4")}
for protocol in 2, 3, 4, 5:
    pickle.dump(tree, open(f"r{protocol}.pkl", "wb"), protocol)
older = lambda d: {k.replace("batchnorm", "norm").replace("initial_conv", "initial_conv_1"): v for k, v in d.items()}
pickle.dump({"experiment_state": (older(params), older(state))}, open("older.pkl", "wb"), 2)
first = lambda d: {k: {l: x[0] for l, x in v.items()} for k, v in d.items()}
pickle.dump({"p": first(params), "s": first(state)}, open("single.pkl", "wb"), 4)
sk = lambda d: {k.replace("res_net", "sk_res_net").replace("conv_1", "sk"): v for k, v in d.items()}
pickle.dump({"online_params": sk(params), "online_state": sk(state)}, open("sk.pkl", "wb"), 2)
END
if [ "$python" ]; then
    check 'a ResNet in Haiku'"'"'s clothes' "$python haiku.py && import r2.pkl --large-side 64 -o r2.h5"
    for f in r3 r4 r5 older single; do
        check "$f.pkl holds the same" "import $f.pkl --large-side 64 -o $f.h5 && semppl-ckpt compare r2.h5 $f.h5"
    done
    check "so does safetensors, by PyTorch's axes" \
        'import r.st --padding same --large-side 64 -o r.h5 && semppl-ckpt compare r2.h5 r.h5'
    check_err 0 'what is not used is named' 'arrays not used: 1 module\.fc\.weight' \
        'semppl-ckpt import "${heads[@]}" r.st -o x.h5'
    check 'float64' 'import f64.st --padding same --large-side 64 -o f64.h5 && semppl-ckpt compare r.h5 f64.h5'
    check 'float16' 'import f16.st -o h.h5 && import f16-f32.st -o hf.h5 && semppl-ckpt compare h.h5 hf.h5'
    check_err 0 'features of any size are printed' 'means( [0-9.]+e\+36){3}$' \
        'semppl-ckpt import "${heads[@]}" large.st -o x.h5'
    check_err 3 'unknown modules are not passed over' 'block_group_0/~/block_0/~/sk/w belongs to none|is missing' \
        'import sk.pkl -o x.h5'
    for f in r2.pkl r5.pkl r.st; do
        check_err 3 "half of $f is refused" "half.*(cut off|beyond the end|without a tensor)" \
            "head -c 300000 $f >half && import half -o x.h5"
    done
    check_err 3 'a text that is no Latin-1' 'bad.pkl: the bytes of .* are damaged' "$python - <<'EOF'
b = bytearray(open('r2.pkl', 'rb').read())
i = b.index(b'latin1') + 500
b[i:i + 4] = b'\xff\xff\xff\xff'
open('bad.pkl', 'wb').write(b)
EOF
        import bad.pkl -o x.h5"
else
    skip 'pickles of whole networks' 'no numpy'
fi

# -- refused

check_err 3 'a picture' 'neither safetensors nor a pickle' 'import "$data"/rgb.jpg -o x.h5'
check_err 3 'a checkpoint needs no import' 'is HDF5' 'import a.h5 -o x.h5'
check_err 3 'an empty file' 'is empty' ': >empty; import empty -o x.h5'
check_err 3 'a missing one' 'none.st' 'import none.st -o x.h5'
check_err 3 'a folder' 'folder' 'import . -o x.h5'
check_err 2 'import wants one' 'one file' 'import -o x.h5'
check_err 2 'export wants one' 'one checkpoint' 'semppl-ckpt export -o x.st'
check_err 2 'and a name for it' '-o FILE' 'semppl-ckpt export a.h5'
check_err 2 'two things for standard output' 'give -o' 'import --json a.st'
check_err 2 'a checkpoint is not replaced by its encoder' 'is an input' 'ln -s a.h5 l.h5; semppl-ckpt export --as-is a.h5 -o l.h5'
check_err 2 'nor an encoder by its checkpoint' 'is an input' 'import a.st -o ./a.st'
check_exit 3 'no checkpoint to export' 'semppl-ckpt export a.st -o x.st'
# Far too many values, where there is memory for them, which sanitizers cannot live with.
{ printf '\200\002'; head -c 2000000 /dev/zero | tr '\0' ']'; printf .; } >lists.pkl
check_err 3 'more values than a checkpoint has' 'more than 1048576 values' 'semppl-ckpt import -l lists.pkl'
export OPENBLAS_NUM_THREADS=1
limited() { (ulimit -v 200000 && timeout 20 semppl-ckpt import -l "$@"); }
if limited a.st >/dev/null 2>&1; then
    check_err 5 'no memory is no fault of the file' 'no memory' 'limited lists.pkl'
else
    skip 'no memory is no fault of the file' 'the programs do not start with so little memory'
fi
check 'nothing is left behind' '! ls -A | grep -q "tmp\|^x\.st$"'
finish
