# device.sh - what check.sh and bench/cuda/run.sh share: source it in the source tree, or in what `make cuda-kit` packs,
# which has the same folders. BUILD is the folder of what was built. Sets
#
#   PATH, SEMPPL_CUDA      to programs and plugin there
#   LD_LIBRARY_PATH        to the system's libraries that a kit carries, and to NVIDIA's, where the loader finds none, in
#                          the environment of python3 (PyTorch's packages bring them)
#
# shellcheck shell=bash
BUILD=$(cd "${BUILD:-build}" && pwd) || exit 1
export BUILD PATH="$BUILD:$PATH" SEMPPL_CUDA="${SEMPPL_CUDA:-$BUILD/libsemppl-cuda.so}"

vendor_folders() {
    python3 -c 'import glob, sysconfig
for p in sorted(glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib")): print(p)' 2>/dev/null || : # no python3
}
for name in libcudnn.so.9 libcublasLt.so; do
    if ! ldconfig -p 2>/dev/null | grep "[[:space:]]$name" >/dev/null; then
        folders=$(vendor_folders | tr '\n' ':')
        export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}${folders%:}"
        break
    fi
done
[ ! -d "$BUILD/lib" ] || export LD_LIBRARY_PATH="$BUILD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
