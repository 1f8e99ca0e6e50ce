#!/usr/bin/env bash
# The scripts for machines with a CUDA device, on the one of tests and with stand-ins for NVIDIA's tools: that they run,
# and that nothing measured there comes among the results.
# shellcheck source=tests/cli/lib.sh disable=SC2016
. "${BASH_SOURCE[0]%/*}/lib.sh"

fake=$BUILD/fake/libsemppl-cuda.so
if [ ! -e "$fake" ] || [ ! -x "$BUILD/bench/cuda/bench" ]; then
    skip 'scripts for CUDA devices' 'the device of tests or the benchmark is not built'
    finish
    exit
fi
export SEMPPL_CUDA=$fake SEMPPL_CACHE=$T_DIR/cache SEMPPL_ENGINES=2 CHECK_QUICK=1
mkdir tools
cat >tools/compute-sanitizer <<END
#!/bin/sh
while [ "\${1#-}" != "\$1" ]; do
    echo "\$1 \$2" >>"$T_DIR/asked"
    [ "\$2" != racecheck ] || { echo "========= Invalid __global__ write of size 4 bytes" && exit 9; }
    shift 2
done
exec "\$@"
END
cat >tools/ncu <<'END'
#!/bin/sh
cat <<'CSV'
==PROF== Connected to process 1
"ID","Kernel Name","Grid Size","dram__throughput.avg.pct_of_peak_sustained_elapsed","gpu__time_duration.sum","sm__throughput.avg.pct_of_peak_sustained_elapsed"
"","","","%","us","%"
"0","void apply<bf16, 1>(bf16 *, const float *, int)","(528, 1, 1)","91.50","1,025.50","20.10"
"1","sm90_gemm","(528, 1, 1)","41.50","300.00","80.00"
"2","void apply<bf16, 1>(bf16 *, const float *, int)","(528, 1, 1)","81.50","974.50","10.10"
CSV
END
cat >alike.awk <<'AWK'
BEGIN { FS = " *[|] *" }
/^### /, /^[|] \*\*all/ {
    if ($2 ~ /norm|its gradient|pool|heads|optim|packed|zeros/ && $4 == $5)
        n++
}
END { print n }
AWK
chmod +x tools/*
PATH=$T_DIR/tools:$PATH
results=$TOP/bench/RESULTS-cuda.md
before=$(cksum "$results" 2>&1)

check 'bench-cuda on the device of tests' '"$TOP/bench/cuda/run.sh" >table.md'
check_out 'has every table' '9' 'grep -c "^## " table.md'
check_out 'of as many columns as its head' '' 'awk -F"|" "/^[^|]/ || !NF { n = 0; next } n && NF != n { print } { n = NF }" table.md'
check_out 'of kernels that are not a library'"'"'s as many are counted as recorded' '26' 'awk -f alike.awk table.md'
check_out 'and numbers that are' '' 'grep -iE "[^a-z](nan|inf)[^a-z]" table.md; true'
check_out 'the kernels that take longest come first' '| `apply<bf16, 1>` | 2 | 2.00 | 87 % | 87 % | 15 % |
| `sm90_gemm` | 1 | 0.30 | 13 % | 42 % | 80 % |' 'tail -3 table.md | grep .'
check_out 'the results stay what they were' "$before" 'cksum "$results" 2>&1; true'

check 'check-cuda on the device of tests' 'TOOLS= "$TOP/tests/cuda/check.sh" check_dense >said'
check_exit 1 'and with tools: what one finds fails' '"$TOP/tests/cuda/check.sh" check_dense >said'
check 'runs tests plainly and by each tool' '[ "$(grep -c "^ok *check_dense" said)" = 3 ] && [ "$(sort -u asked | grep -c -- --tool)" = 3 ]'
check 'what it found is shown' 'grep -q "^FAILED  check_dense under racecheck, status 9" said && grep -q "Invalid __global__ write" said'

# On a machine that is lent for minutes, and has neither libraries of NVIDIA's that the loader finds nor a python3
printf '#!/bin/sh\nexit 127\n' | tee tools/python3 >tools/ldconfig
chmod +x tools/*
export BENCH_DEVICE='device 0: fibers, by hearsay'
check_exit 1 'tables for which there is no time' 'LIMIT=0 "$TOP/bench/cuda/run.sh" >table.md'
check_out 'are named' '8' 'grep -c "^Left out: " table.md'
check_exit 1 'tests likewise' 'LIMIT=0 TOOLS= "$TOP/tests/cuda/check.sh" check_dense >said'
check 'are named too' 'grep -q "^left out check_dense: " said && grep -q "^1 failed or not done: check_dense" said'
finish
