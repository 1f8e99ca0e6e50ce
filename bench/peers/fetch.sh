# fetch.sh - the peers, into $BUILD/peers and nowhere else, by the names of their packages: source it.
#
# fetch_wheels brings the first of these, fetch all:
#
#   $python        PyTorch, torchvision, Pillow, faiss and h5py, newest from PyPI
#   old_python     a function: the distribution's PyTorch, which is some years old
#   $onednn        the program of onednn.c
#
# What cannot be had here is named by have(), and its rows are left out.
#
# shellcheck shell=bash
PEERS="$BUILD/peers"
python="$PEERS/bin/python"
onednn="$PEERS/onednn"

# PyTorch without its packages of CUDA: gigabytes that a CPU does not need, but for the small libraries that it is linked
# with. Where the wheel does not start all the same, the distribution's PyTorch is seen through --system-site-packages.
#
# oneDNN's build for OpenMP, 3.2, needs nothing else. The packages since then (3.13) are for SYCL: two gigabytes of
# runtime, and bfloat16 convolutions that were no faster here (one thread, CPU time: 777 and 798 GF/s forward, 703 and
# 716 for data, 239 and 202 for weights over CIFAR ResNet-18; less in all three over ResNet-50).
fetch_wheels() {
    [ ! -e "$PEERS/wheels" ] || return 0
    python3 -m venv --system-site-packages "$PEERS" || return 0
    local packages
    while read -r packages; do
        # shellcheck disable=SC2086
        "$python" -m pip install -q $packages || true
    done <<'END'
numpy pillow filelock typing_extensions sympy networkx jinja2 fsspec
--ignore-installed --no-deps h5py
faiss-cpu
--no-deps torch nvidia-cufile nvidia-cusparselt-cu13 nvidia-nvshmem-cu13 nvidia-nccl-cu13
--no-deps torchvision
onednn-cpu-gomp onednn-devel-cpu-gomp
END
    "$python" -c 'import torch' 2>/dev/null || "$python" -m pip uninstall -q -y torch torchvision || true
    touch "$PEERS/wheels"
}

# The distribution's packages that are not installed, unpacked: that needs no rights, and 600 MB.
fetch_old() {
    [ ! -e "$PEERS/old" ] || return 0
    command -v apt-get >/dev/null || return 0
    mkdir -p "$PEERS/debs" "$PEERS/old"
    (
        cd "$PEERS/debs"
        apt-get install -s --no-install-recommends python3-torch python3-pil | awk '/^Inst/ { print $2 }' |
            xargs -r apt-get download -q
        for deb in *.deb; do dpkg -x "$deb" "$PEERS/old"; done
    ) >/dev/null 2>&1 || true
    rm -rf "$PEERS/debs"
}
old_python() {
    local lib="$PEERS/old/usr/lib"
    LD_LIBRARY_PATH="$lib/$(uname -m)-linux-gnu:$lib:$PEERS/old/lib/$(uname -m)-linux-gnu" \
        PYTHONPATH="$lib/python3/dist-packages" /usr/bin/python3 "$@"
}

build_onednn() {
    # shellcheck disable=SC2046
    ${CC:-cc} -std=c11 -O2 -D_DEFAULT_SOURCE -I. -I"$PEERS/include" -o "$onednn" bench/peers/onednn.c \
        "$BUILD/bench/measure.o" "$BUILD/libsemppl.a" -L"$PEERS/lib" -Wl,-rpath,"$PEERS/lib" -ldnnl -lm \
        $(pkg-config --libs openblas) 2>"$PEERS/onednn.log" || rm -f "$onednn"
}

# have NAME COMMAND...: does the command succeed?
have() {
    local name=$1
    shift
    "$@" >/dev/null 2>&1 || { echo "$name is not to be had here: its rows are left out" >&2; return 1; }
}

fetch() {
    fetch_wheels
    fetch_old
    build_onednn
}
