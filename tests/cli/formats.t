#!/usr/bin/env bash
# formats.t - other programs open our files: h5dump and h5py see the documented datasets; and we open theirs.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir -p photos/cat photos/dog
cp "$TOP"/tests/data/{rgb,grey}.jpg photos/cat
cp "$TOP"/tests/data/{progressive,subsampled}.jpg photos/dog
check 'an encoded shard' 'semppl-prep -q --labels-per-class 1 -o encoded.h5 photos'
check 'a decoded shard' 'semppl-prep -q --pixels 32 -o decoded.h5 photos'
check 'a checkpoint' 'semppl-ckpt new --encoder resnet18 --width 0.125 --stem small -o net.h5'
check 'embeddings' 'semppl-embed -q -c net.h5 -o embedded.h5 encoded.h5'

if command -v h5dump >/dev/null; then
    for f in encoded decoded net embedded; do check "h5dump reads $f" "h5dump -o /dev/null $f.h5"; done
    names() { h5dump -n 1 "$1" | sed -n 's,^ *dataset  */\([a-z_]*\)$,\1,p' | sort | tr '\n' ' '; }
    check_out 'what an encoded shard holds' \
        'bytes classes crc history id key key_offset label offset orientation size truth ' 'names encoded.h5'
    check_out 'what an embedding shard holds' 'classes history id key key_offset label truth x ' 'names embedded.h5'
    attributes() { h5dump -n 1 "$1" | sed -n 's,^ *attribute  */\([a-z_]*\)$,\1,p' | sort | tr '\n' ' '; }
    check_out 'its attributes' 'checkpoint checksum complete format layer net normalised version ' \
        'attributes embedded.h5'
    check 'superblock version 2' 'h5dump -B encoded.h5 | grep -q "SUPERBLOCK_VERSION 2"'
    check 'large datasets are contiguous' 'h5dump -p -H -d /bytes encoded.h5 | grep -q CONTIGUOUS'
else
    skip 'h5dump' 'not installed'
fi

python=
for p in python3 /usr/bin/python3; do
    if [ -z "$python" ] && $p -c 'import h5py' 2>/dev/null; then python=$p; fi
done
if [ -z "$python" ]; then
    skip 'h5py' 'not installed'
    finish
    exit
fi

cat >read.py <<'END'
import sys, h5py, zlib
f = h5py.File(sys.argv[1], "r")
a = f.attrs
text = lambda s: s.decode() if isinstance(s, bytes) else str(s)
assert int(a["version"]) == 1 and int(a["complete"]) == 1
print(text(a["format"]))
if text(a["format"]) == "semppl-shard":
    n = len(f["id"])
    key = bytes(f["key"][:])
    k = f["key_offset"][:]
    for i in range(n):
        if "pixels" in f:
            row = f["pixels"][i].tobytes()
        else:
            o = f["offset"][:]
            row = bytes(f["bytes"][int(o[i]):int(o[i + 1])])
        assert zlib.crc32(row) == f["crc"][i]
        name = f["classes"][f["truth" if "truth" in f else "label"][i]].decode()
        print(key[int(k[i]):int(k[i + 1])].decode(), name, *f["size"][i])
elif text(a["format"]) == "semppl-embedding":
    assert f["x"].dtype == "<f4" and f["x"].shape[0] == len(f["id"])
else:
    assert "online" in f and "queue" in f and f["counters/step"].dtype == "<i8"
END
for f in encoded decoded net embedded; do check "h5py reads $f" "$python read.py $f.h5"; done

# A shard by another program, with everything that h5py does by default: strings of variable length, chunks, gzip.
cat >write.py <<'END'
import glob, h5py, numpy as np, zlib
names = sorted(glob.glob("photos/*/*.jpg"))
rows = [open(n, "rb").read() for n in names]
old = h5py.File("encoded.h5", "r")
f = h5py.File("foreign.h5", "w")
f.attrs["format"] = "semppl-shard"
f.attrs["version"] = 1
offsets = lambda parts: np.cumsum([0] + [len(p) for p in parts]).astype("u8")
join = lambda parts: np.frombuffer(b"".join(parts), "u1")
f.create_dataset("bytes", data=join(rows), chunks=(1000,), compression="gzip")
f["offset"] = offsets(rows)
f["key"], f["key_offset"] = join([n.encode() for n in names]), offsets(names)
f["id"] = np.arange(len(rows), dtype="u8")
f["label"] = np.array([["cat", "dog"].index(n.split("/")[1]) for n in names], "i4")
f["classes"] = ["cat", "dog"]
f["size"] = old["size"][:]
f["orientation"] = np.ones(len(rows), "u1")
f["crc"] = np.array([zlib.crc32(r) for r in rows], "u4")
f.attrs["complete"] = 1
END
check 'h5py writes a shard' "$python write.py"
check 'and it is embedded' 'semppl-embed -q -c net.h5 -o foreign-x.h5 foreign.h5'
vectors() { $python -c 'import h5py, sys; print(h5py.File(sys.argv[1])["x"][:].tolist())' "$1"; }
check_same 'to the same vectors' 'vectors foreign-x.h5' 'vectors embedded.h5'
cat >edit.py <<'END'
import h5py, numpy as np, sys
for name in "told", "odd":
    open(name + ".h5", "wb").write(open("embedded.h5", "rb").read())
told, odd = h5py.File("told.h5", "r+"), h5py.File("odd.h5", "r+")
for name, scale in ("near", 1e-30), ("far", 1e30):
    f = h5py.File(name + ".h5", "w")
    for k in odd.attrs:
        f.attrs[k] = odd.attrs[k]
    for k in odd:
        odd.copy(k, f)
    del f.attrs["checksum"]
    f["x"][...] = np.random.default_rng(1).normal(size=f["x"].shape) * scale
del told["history"]
told["history"] = np.array([b'{"by": "hand"}', b"by hand"])
odd.attrs["layer"] = np.bytes_(b'a"b\\c\n')
END
check 'h5py edits embeddings' "$python edit.py"
check_err 3 'a history that is no JSON is refused' 'told.h5: dataset history, line 1: not a JSON' \
    'semppl-knn -b embedded.h5 told.h5'
check 'odd words stay words in JSON' \
    'semppl-eval knn -q --json --allow-overlap -b odd.h5 odd.h5 | $python -c "import json, sys; json.load(sys.stdin)"'
check_err 6 'a probe has no score beyond float32' 'far.h5: row 0 \(.*\): the probe.s scores are not finite' \
    'semppl-eval linear --allow-overlap -b near.h5 far.h5'
check_err 3 'a file of another format is refused' 'embedded.h5: is a semppl-embedding' \
    'semppl-embed -q -c net.h5 -o no.h5 embedded.h5'
finish
