# semppl-tools: the whole build.
#
## make               the programs, in $(BUILD)
## make deps          install what is missing with the system's package manager, after printing it
## make demo          the main job on pictures that it draws itself; DATA=folder: on yours, a sub-folder a class
## make check         all tests; T='tests/cli/knn.t ...': only these
## make check-fake    those of kernels and whole steps on a CUDA device that is made of threads (also part of check)
## make check-device  the same on a real one
## make check-san     tests under the address, undefined-behaviour and thread sanitizers
## make lint          formats, static analysis, shell scripts, manual pages, headers, completions
## make bench         speed of everything, beside what the machine can do, into bench/RESULTS.md (5 to 8 minutes)
## make bench-cuda    speed on a CUDA device, beside what it can do, into bench/RESULTS-cuda.md (10 minutes)
## make check-cuda    all checks of a CUDA device: check-device, under compute-sanitizer too where that is
## make cuda-kit      what bench-cuda and check-cuda need on a machine that has but the driver, as $(BUILD)/cuda-kit.tar.gz
## make bench-peers   the same work by PyTorch, torchvision, Pillow, faiss and oneDNN, as ratios (15 to 40 minutes); they are
##                    fetched into $(BUILD)/peers
## make check-peers   every number of a training step, pixels, crops, features and neighbours against PyTorch, Pillow, NumPy,
##                    torchvision and faiss, which are fetched into $(BUILD)/peers (5 minutes)
## make fuzz          feeds random bytes to every reader of files, FUZZ_SECONDS each (needs clang)
## make completions   completions for bash, zsh and fish, in $(BUILD)/completions
## make install       programs, the plugin if built, manual pages and completions, under $(DESTDIR)$(PREFIX)
## make uninstall     removes them again
## make compile_commands.json    for editors and analysers
## make clean         removes $(BUILD)
##
## BUILD=folder       for everything that is made                         (build)
## PREFIX=folder      where an installed program finds itself             (/usr/local)
## DESTDIR=folder     in front of PREFIX, for packagers                   ()
## CC=  OPT=  CFLAGS= compiler, optimisation, further flags               (cc, -O2, -g)
## ARCH=machine       what CC compiles for, as uname -m says it           (this machine)
## CUDA=0             without the plugin for CUDA devices                 (1 where nvcc is)
## CUDA_ARCHS=list    the plugin's compute capabilities                    (80 90a 100 120)
## SAN=address,...    build with sanitizers; give it a BUILD of its own   ()
## V=1                show the commands                                   ()

BUILD ?= build
ARCH ?= $(shell uname -m)
PREFIX ?= /usr/local
DESTDIR ?=
OPT ?= -O2
CFLAGS ?= -g
SAN ?=
V ?=
DATA ?=
T ?=
FUZZ_SECONDS ?= 20

# All CPUs, unless -j says otherwise.
JOBS := $(shell nproc)
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif
MAKEFLAGS += --no-print-directory

Q := $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-8s %s\n' $(1) $(2))

PKGS := hdf5 libjpeg zlib openblas libpng libarchive
# HDF5 1.12 and later have the calls of 1.10 too, if asked.
override CFLAGS := -std=c11 -D_GNU_SOURCE -DH5_USE_110_API $(OPT) -Wall -Wextra -Wvla -Wmissing-prototypes -Wstrict-prototypes \
    -ffp-contract=off -fno-math-errno -pthread -I. $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) $(CFLAGS)
# Asked for in recipes only, and once: `make deps all` may have to install pkg-config first.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null))$(PKG_LIBS)
LDLIBS = $(PKG_LIBS) -lm -lpthread -ldl
COMPILE = $(CC) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
LINK = $(CC) $(CFLAGS) $(LDFLAGS)

# The plugin for CUDA devices: nvcc compiles .cu, machine code for each architecture and PTX for those to come.
# Files that talk to cuDNN and cuBLAS are called so; tests put plain kernels (tests/cuda) in their place.
NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA ?= $(if $(NVCC),1,0)
CUDA_HOME = $(patsubst %/bin/,%,$(dir $(realpath $(NVCC))))
CUDA_ARCHS ?= 80 90a 100 120
CUDA_SRC := $(wildcard kernels/cuda/*.c kernels/cuda/*.cu)
NVCC_FLAGS := -std=c++20 -O3 -lineinfo --Werror all-warnings -Xptxas -v -I. -D_GNU_SOURCE \
    -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra,-Wno-unused-parameter \
    $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) -gencode arch=compute_80,code=compute_80
# The same sources on a device that is made of threads of the host: tests/cuda/shim
CXXFLAGS := -std=c++20 -D_GNU_SOURCE $(OPT) -g -Wall -Wextra -Wno-unknown-pragmas -ffp-contract=off -pthread -I. \
    $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
FAKE_SRC := $(filter-out kernels/cuda/cudnn% kernels/cuda/cublas%,$(CUDA_SRC)) $(wildcard tests/cuda/shim/*.cpp tests/cuda/*.cu)
PLUGIN := $(BUILD)/libsemppl-cuda.so
PLUGIN_OBJ := $(patsubst %,$(BUILD)/cuda/%.o,$(CUDA_SRC))
FAKE := $(BUILD)/fake/libsemppl-cuda.so
FAKE_OBJ := $(patsubst %,$(BUILD)/fake/%.o,$(FAKE_SRC))

PROGRAMS := semppl-prep semppl-embed semppl-knn semppl-train-step semppl-eval semppl-ckpt
LIB_SRC := $(wildcard common/*/*.c kernels/*.c kernels/ref/*.c kernels/cpu/*.c)
# *_isa.c are compiled once for each instruction set, with ISA(name) appending _avx512, _avx2 or _generic
ISA_FLAGS_generic :=
ISA_FLAGS_avx2 := -mavx2 -mfma
ISA_FLAGS_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
X86 := $(filter x86_64,$(ARCH))
ISAS := generic $(if $(X86),avx2 avx512)
# and these once more, for pairs of bfloat16
PAIRS_SRC := $(if $(X86),$(addprefix kernels/cpu/,conv_isa.c conv_sums_isa.c wino_isa.c wino_sums_isa.c) bench/ceiling_isa.c)
ISA_FLAGS_avx512bf16 := $(ISA_FLAGS_avx512) -mavx512bf16
# *_bf16.c are for these products only, *_amx.c for the tile unit
BF16_SRC := $(wildcard kernels/cpu/*_bf16.c)
AMX_SRC := $(wildcard kernels/cpu/*_amx.c bench/*_amx.c)
AMX_FLAGS := $(ISA_FLAGS_avx512bf16) -mamx-tile -mamx-bf16
# which other processors than x86-64 have no use for
NEEDLESS := $(if $(X86),,%_bf16.c %_amx.c)
# The objects of sources, those of *_isa.c for each set
objects = $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_isa.c $(NEEDLESS),$(1))) \
    $(foreach isa,$(ISAS),$(patsubst %.c,$(BUILD)/%.$(isa).o,$(filter %_isa.c,$(1)))) \
    $(patsubst %.c,$(BUILD)/%.avx512bf16.o,$(filter $(PAIRS_SRC),$(1)))
LIB_OBJ := $(call objects,$(LIB_SRC))
LIB := $(BUILD)/libsemppl.a

# The tile unit's kernels once more, on an imitation of it (tests/tiles/tiles.h), and tests that use them
TILES_OBJ := $(patsubst %.c,$(BUILD)/tiles/%.o,$(filter kernels/%,$(AMX_SRC))) $(addprefix $(BUILD)/tests/tiles/,tiles.o isa_tiles.o)
TILES := $(if $(X86),$(addprefix $(BUILD)/tiles/tests/,kern/check_conv kern/check_knn kern/grad_conv unit/test_net))
TEST_TILES := $(if $(X86),$(BUILD)/tests/tiles/test_tiles)

# The definitions and all above them once more, in double precision: tests/double/double.h
DOUBLE_OBJ := $(patsubst %.c,$(BUILD)/double/%.o,$(filter-out kernels/cpu/%,$(LIB_SRC)))

DOUBLE := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/double/test_*.c))
UNIT := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
KERN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/kern/check_*.c tests/kern/grad_*.c))
DEVICE := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/cuda/test_*.c))
SHIM := $(BUILD)/tests/cuda/test_shim
# Plans of cuDNN, where it is
PLANS := $(if $(filter 1,$(CUDA)),$(BUILD)/tests/cuda/plan_cudnn)
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
BENCH := $(BUILD)/bench/bench $(BUILD)/bench/draw_photos
BENCH_CUDA := $(BUILD)/bench/cuda/bench
PEERS := $(BUILD)/bench/draw_photos $(BUILD)/tests/peers/decode
CLI := $(wildcard tests/cli/*.t)
FAILING := $(BUILD)/tests/cli/failing.so
BINARIES := $(addprefix $(BUILD)/,$(PROGRAMS))

all: $(BINARIES) $(EXAMPLES) $(if $(filter 1,$(CUDA)),$(PLUGIN))

help:
	@sed -n 's/^## \{0,1\}//p' Makefile

# -- Compiling ----

$(BUILD)/%.o: %.c $(BUILD)/.flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<
define isa_rule
$$(BUILD)/%.$(1).o: %.c $$(BUILD)/.flags
	$$(call say,CC,'$$< ($(1))')
	@mkdir -p $$(@D)
	$$(Q)$$(COMPILE) -O3 -ffp-contract=fast $$(ISA_FLAGS_$(1)) -DISA_SUFFIX=$(1) -MMD -MP -c -o $$@ $$<
endef
$(foreach isa,$(ISAS) avx512bf16,$(eval $(call isa_rule,$(isa))))
$(patsubst %.c,$(BUILD)/%.o,$(BF16_SRC)): COMPILE += -O3 -ffp-contract=fast $(ISA_FLAGS_avx512bf16)
$(patsubst %.c,$(BUILD)/%.o,$(AMX_SRC)): COMPILE += -O3 -ffp-contract=fast $(AMX_FLAGS)

$(BUILD)/double/%.o: %.c $(BUILD)/.flags
	$(call say,CC,'$< (double)')
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -include tests/double/double.h -MMD -MP -c -o $@ $<

$(BUILD)/tiles/%.o: %.c $(BUILD)/.flags
	$(call say,CC,'$< (tiles)')
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -O3 -ffp-contract=fast $(ISA_FLAGS_avx512bf16) -include tests/tiles/instead.h -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ) $(BUILD)/.objects
	@rm -f $@
	$(Q)ar rcs $@ $(filter %.o,$^)

$(BINARIES): $(BUILD)/%: $(BUILD)/cmd/%.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $< $(LIB) $(LDLIBS)

# Tests, examples and benchmarks: one program each
$(sort $(UNIT) $(KERN) $(TEST_TILES) $(DEVICE) $(EXAMPLES) $(BENCH) $(BENCH_CUDA) $(PEERS)): $(BUILD)/%: $(BUILD)/%.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS)
$(KERN) $(foreach t,$(TILES),$(if $(findstring /kern/,$(t)),$(t))): $(patsubst %.c,$(BUILD)/%.o,tests/kern/check.c $(wildcard tests/kern/mirror*.c))
$(TEST_TILES): $(BUILD)/tests/tiles/tiles.o
# What comes before the library is not taken from it.
$(TILES): $(BUILD)/tiles/%: $(BUILD)/%.o $(TILES_OBJ) $(LIB)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS)
$(DOUBLE): $(BUILD)/%: $(BUILD)/double/%.o $(DOUBLE_OBJ)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LDLIBS)
$(BENCH_CUDA): $(BUILD)/bench/measure.o $(BUILD)/bench/pass.o $(filter-out $(BENCH_CUDA).o,$(patsubst %.c,$(BUILD)/%.o,$(wildcard bench/cuda/*.c)))
$(BUILD)/bench/bench: $(call objects,$(filter-out bench/bench.c bench/draw_photos.c,$(wildcard bench/*.c)))

# malloc() for tests
$(FAILING): $(BUILD)/%.so: %.c $(BUILD)/.flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fPIC -shared -o $@ $<

# The CUDA plugin, and the one for tests. What ptxas says of each kernel (registers, spills) stays beside the object.
$(BUILD)/cuda/%.c.o: %.c $(BUILD)/.flags $(BUILD)/.cuda-flags
	$(call say,CC,'$< (cuda)')
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -isystem $(CUDA_HOME)/include -MMD -MP -c -o $@ $<
$(BUILD)/cuda/%.cu.o: %.cu $(BUILD)/.cuda-flags
	$(call say,NVCC,$<)
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(NVCC_FLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $< >$@.log 2>&1; rc=$$?; \
	    grep -v '^ptxas info  \|^    [0-9]* bytes stack frame' $@.log >&2; mv $@.log $(@:.o=.ptxas); exit $$rc
$(PLUGIN): $(PLUGIN_OBJ) $(BUILD)/.cuda-objects
	$(call say,LINK,$@)
	$(Q)$(LINK) -shared -Wl,--no-undefined,--exclude-libs,ALL -o $@ $(filter %.o,$^) -L$(CUDA_HOME)/lib64 -L$(CUDA_HOME)/lib \
	    -lcudart_static -lstdc++ -lm -ldl -lrt -lpthread

$(BUILD)/fake/%.c.o: %.c $(BUILD)/.flags
	$(call say,CC,'$< (fake)')
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fPIC -fvisibility=hidden -Itests/cuda/shim -MMD -MP -c -o $@ $<
$(BUILD)/fake/%.cu.o: %.cu $(BUILD)/.cuda-flags
	$(call say,CXX,'$< (fake)')
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CXXFLAGS) -fPIC -fvisibility=hidden -Itests/cuda/shim -x c++ -MMD -MP -c -o $@ $<
$(BUILD)/fake/%.cpp.o: %.cpp $(BUILD)/.cuda-flags
	$(call say,CXX,'$< (fake)')
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CXXFLAGS) -fPIC -fvisibility=hidden -Itests/cuda/shim -MMD -MP -c -o $@ $<
$(FAKE): $(FAKE_OBJ) $(BUILD)/.cuda-objects
	$(call say,LINK,$@)
	$(Q)$(CXX) $(CXXFLAGS) $(LDFLAGS) -shared -Wl,--no-undefined -o $@ $(filter %.o,$^) -lm -lpthread
$(BUILD)/tests/cuda/plan_cudnn.o: private COMPILE += -isystem $(CUDA_HOME)/include \
    -DCUDA_STUB='"$(CUDA_HOME)/lib64/stubs/libcuda.so"'
$(BUILD)/tests/cuda/plan_cudnn: $(BUILD)/tests/cuda/plan_cudnn.o $(LIB) \
    $(patsubst %,$(BUILD)/cuda/kernels/cuda/%.c.o,cudnn cudnn_graph conv_form library)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS)
$(SHIM): $(patsubst %,$(BUILD)/fake/%.o,tests/cuda/test_shim.cpp $(wildcard tests/cuda/shim/*.cpp))
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CXXFLAGS) $(LDFLAGS) -o $@ $^ -lm -lpthread

# A changed flag rebuilds everything, a source that went away the libraries.
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D)
	@pkg-config --exists $(PKGS) 2>/dev/null || { echo "libraries are missing ($(PKGS)): run 'make deps'" >&2; exit 1; }
	@echo '$(COMPILE) $(LDFLAGS) $(LDLIBS)' | cmp -s - $@ || echo '$(COMPILE) $(LDFLAGS) $(LDLIBS)' >$@
$(BUILD)/.objects: FORCE
	@mkdir -p $(@D)
	@echo '$(LIB_OBJ)' | cmp -s - $@ || echo '$(LIB_OBJ)' >$@
$(BUILD)/.cuda-flags: FORCE
	@mkdir -p $(@D)
	@echo '$(NVCC) $(NVCC_FLAGS) $(CXX) $(CXXFLAGS)' | cmp -s - $@ || echo '$(NVCC) $(NVCC_FLAGS) $(CXX) $(CXXFLAGS)' >$@
$(BUILD)/.cuda-objects: FORCE
	@mkdir -p $(@D)
	@echo '$(CUDA_SRC) $(FAKE_SRC)' | cmp -s - $@ || echo '$(CUDA_SRC) $(FAKE_SRC)' >$@

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d $(BUILD)/*/*/*/*.d $(BUILD)/fake/*/*/*/*.d)
.SECONDARY:
.DELETE_ON_ERROR:
FORCE:

# -- What is needed ----

DEPS := gcc g++ libc6-dev make pkg-config libhdf5-dev libjpeg-dev zlib1g-dev libopenblas-pthread-dev libpng-dev \
    libarchive-dev perl hdf5-tools python3-h5py mandoc shellcheck clang-format clang-tidy

deps:
	@if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then \
	    echo "This is no Debian or Ubuntu. Install a C compiler, pkg-config, HDF5, libjpeg-turbo," >&2; \
	    echo "zlib, OpenBLAS, libpng and libarchive with their headers; for tests and lint also a C++ compiler, prove" >&2; \
	    echo "(Perl), h5dump, h5py, mandoc, shellcheck, clang-format and clang-tidy." >&2; \
	    echo "make deps: no package manager that it knows" >&2; \
	    exit 1; \
	fi; \
	there=$$(dpkg-query -W -f='$${Package} $${db:Status-Status}\n' $(DEPS) 2>/dev/null); \
	missing=; \
	for p in $(DEPS); do \
	    printf '%s\n' "$$there" | grep -qx "$$p installed" || missing="$$missing $$p"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	sudo=; root=$$(id -u | grep -x 0); \
	[ -n "$$root" ] || sudo=$$(command -v sudo); \
	as=$${sudo:+'sudo '}; \
	line="$${as}apt-get update -q && $${as}env DEBIAN_FRONTEND=noninteractive apt-get install -y -q"; \
	line="$$line --no-install-recommends$$missing"; \
	echo "missing:$$missing"; \
	echo "$$line"; \
	if [ -z "$$root$$sudo" ]; then \
	    echo "make deps: needs root, and there is no sudo: run the line above as root" >&2; \
	    exit 1; \
	fi; \
	eval "$$line"

# `make deps check` and the like: first things first, also when many jobs run at once.
FIRST := $(filter clean deps,$(MAKECMDGOALS))
ifneq ($(FIRST),)
$(addprefix $(BUILD)/.,flags objects cuda-flags cuda-objects): | $(FIRST)
check lint lint-format lint-shell lint-manuals: | $(FIRST)
endif
ifneq ($(filter lint,$(MAKECMDGOALS)),)
check: | lint
endif

# -- Tests ----

# Test programs run as they are (--exec ''); those that take longest start first.
PROVE = BUILD='$(abspath $(BUILD))' CUDA='$(CUDA)' SEMPPL_CACHE= prove -j$(JOBS) --exec ''
TESTS := $(if $(T),$(basename $(filter %.c %.cpp,$(T))) $(filter-out %.c %.cpp,$(T)),$(CLI) $(DOUBLE) $(KERN) $(TILES) $(UNIT) $(TEST_TILES) $(SHIM) $(PLANS))
TESTS := $(foreach t,$(TESTS),$(if $(filter tiles/% tests/tiles/% tests/double/% tests/unit/% tests/kern/% tests/cuda/%,$(t)),$(BUILD)/$(t),$(t)))

check: all $(filter $(BUILD)/%,$(TESTS)) $(if $(filter tests/cli/%,$(TESTS)),$(FAKE) $(BENCH_CUDA) $(BUILD)/tests/kern/check_dense $(FAILING))
	$(Q)$(PROVE) $(TESTS)
	$(Q)$(if $(T),,$(MAKE) check-fake)

# Kernels and whole steps on a CUDA device: one made of threads of the host, without the large cases; and a real one.
ON_DEVICE := $(if $(T),$(TESTS),$(DEVICE) $(KERN))
check-fake: $(ON_DEVICE) $(FAKE)
	$(Q)CHECK_DEVICE=cuda CHECK_QUICK=1 SEMPPL_SHIM_STRICT=1 SEMPPL_ENGINES=2 SEMPPL_CUDA='$(abspath $(FAKE))' $(PROVE) $(ON_DEVICE)
check-device: $(ON_DEVICE) $(PLUGIN)
	$(Q)CHECK_DEVICE=cuda SEMPPL_CUDA='$(abspath $(PLUGIN))' $(subst SEMPPL_CACHE=,SEMPPL_CACHE='$(abspath $(BUILD))/cache',$(PROVE)) $(ON_DEVICE)

check-cuda: $(BUILD)/semppl-ckpt $(ON_DEVICE) $(PLUGIN)
	$(Q)BUILD='$(BUILD)' LIMIT="$${LIMIT:-7200}" tests/cuda/check.sh $(notdir $(T:.c=))

# What is worth its time under sanitizers: all of C's own tests, and the programs at the ends of the pipeline. What
# uses threads is run again under the thread sanitizer, to which the threads of a kernel are threads too.
SAN_CLI := $(wildcard $(patsubst %,tests/cli/%.t,options prep ckpt bridge knn))
THREADED := $(filter %/test_pool %/test_log %/test_views %/test_loader %/check_conv %/check_knn %/check_augment, \
    $(UNIT) $(KERN) $(TILES)) $(wildcard tests/cli/train.t)
export ASAN_OPTIONS ?= allocator_may_return_null=1
export UBSAN_OPTIONS ?= halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS ?= halt_on_error=1

check-san:
	$(Q)$(MAKE) CUDA=0 BUILD='$(BUILD)-asan' SAN=address,undefined \
	    T='$(patsubst $(BUILD)/%,%,$(KERN) $(UNIT) $(TILES) $(TEST_TILES) $(SHIM)) $(SAN_CLI)' check
	$(Q)$(MAKE) CUDA=0 BUILD='$(BUILD)-asan' SAN=address,undefined check-fake
	$(Q)$(MAKE) CUDA=0 BUILD='$(BUILD)-tsan' SAN=thread T='$(patsubst $(BUILD)/%,%,$(THREADED) $(SHIM))' check
	$(Q)$(MAKE) CUDA=0 BUILD='$(BUILD)-tsan' SAN=thread T='$(patsubst $(BUILD)/%,%,$(KERN))' check-fake

bench: all $(BENCH)
	$(Q)BUILD='$(BUILD)' bench/run.sh

bench-cuda: all $(BENCH) $(BENCH_CUDA) $(PLUGIN)
	$(Q)BUILD='$(BUILD)' LIMIT="$${LIMIT:-3600}" bench/cuda/run.sh

# All of it with the libraries that it was linked to, in folders as they are here: unpacked elsewhere,
# tests/cuda/check.sh and bench/cuda/run.sh find it, print as they go, and keep within ten minutes each. Of 59 MB packed
# the libraries are 39, a third of that ICU's data, and the plugin 13 for all CUDA_ARCHS.
KIT_SCRIPTS := bench/steps.sh $(addprefix bench/cuda/,run.sh kernels.awk) $(addprefix tests/cuda/,check.sh device.sh)
cuda-kit: $(BINARIES) $(BENCH) $(BENCH_CUDA) $(EXAMPLES) $(KERN) $(DEVICE) $(PLUGIN)
	$(call say,KIT,$(BUILD)/cuda-kit.tar.gz)
	@rm -rf $(BUILD)/cuda-kit
	$(Q)for f in $^; do install -D -s $$f $(BUILD)/cuda-kit/build/$${f#$(BUILD)/} || exit 1; done
	$(Q)for f in $(KIT_SCRIPTS); do install -D $$f $(BUILD)/cuda-kit/$$f || exit 1; done
	$(Q)ldd $^ | sed -n 's/^.* => \(\/.*\) (.*/\1/p' | sort -u | grep -v '/lib\(c\|m\|resolv\|stdc++\|gcc_s\)\.so' | \
	    while read -r f; do install -D $$f $(BUILD)/cuda-kit/build/lib/$${f##*/} || exit 1; done
	$(Q)git describe --always --dirty --exclude '*' >$(BUILD)/cuda-kit/build/commit 2>/dev/null || :
	$(Q)tar -C $(BUILD)/cuda-kit -czf $(BUILD)/cuda-kit.tar.gz .

bench-peers: all $(BENCH)
	$(Q)BUILD='$(BUILD)' bench/peers/run.sh

check-peers: all $(PEERS)
	$(Q)BUILD='$(BUILD)' tests/peers/run.sh

demo: $(BINARIES) $(EXAMPLES)
	$(Q)BUILD='$(BUILD)' DATA='$(DATA)' examples/demo.sh

FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz:
	$(Q)$(MAKE) BUILD='$(BUILD)-fuzz' CC=clang SAN=address,undefined,fuzzer-no-link fuzz-run
fuzz-run: $(addprefix $(BUILD)/tests/fuzz/,$(FUZZERS))
	$(Q)for f in $(FUZZERS); do \
	    mkdir -p $(BUILD)/corpus/$$f && cp -n tests/data/* $(BUILD)/corpus/$$f && \
	    $(BUILD)/tests/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -artifact_prefix=$(BUILD)/ \
	        $(BUILD)/corpus/$$f || exit 1; \
	done
$(addprefix $(BUILD)/tests/fuzz/,$(FUZZERS)): $(BUILD)/%: $(BUILD)/%.o $(LIB)
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $< $(LIB) $(LDLIBS)

# -- Lint ----

C_FILES := $(wildcard cmd/*.c common/*/*.c kernels/*.c kernels/*/*.c tests/*/*.c examples/*.c bench/*.c bench/cuda/*.c)
H_FILES := $(wildcard common/*/*.h kernels/*.h kernels/*/*.h tests/*.h tests/*/*.h bench/*.h bench/cuda/*.h)
SH_FILES := .ci/run $(wildcard examples/*.sh bench/*.sh bench/peers/*.sh tests/cli/lib.sh tests/peers/*.sh tests/cuda/*.sh bench/cuda/*.sh tests/*/*.t)
CU_FILES := $(wildcard kernels/cuda/*.cu kernels/cuda/*.cuh tests/cuda/*.cu tests/cuda/*.cuh tests/cuda/*.cpp tests/cuda/shim/*.cpp tests/cuda/shim/*.h tests/cuda/shim/*.cuh)
# What knows CUDA is looked at with the headers of tests, what knows its libraries with theirs, where they are.
CUDA_INCLUDE = $(if $(filter kernels/cuda/%,$(1)),$(if $(filter $(FAKE_SRC),$(1)),-Itests/cuda/shim,-isystem $(CUDA_HOME)/include))
# Tests are left to the compiler's warnings: analysing them takes as long as all the rest.
# So are paths through a function beyond the first 50000 nodes of the analyser's 225000: two thirds of its time, in which it
# found nothing, not even in functions whose variables had lost their first values.
TIDY_DEPTH := -Xclang -analyzer-config -Xclang max-nodes=50000
TIDY := $(patsubst %.c,$(BUILD)/%.tidy,$(filter-out tests/% $(NEEDLESS) $(if $(NVCC),,$(filter-out $(FAKE_SRC),$(CUDA_SRC))),$(C_FILES)))

lint: lint-format lint-headers lint-shell lint-manuals lint-completions lint-tidy

# Every version lays some things out in its own way.
lint-format:
	$(call say,LINT,formats)
	$(Q)clang-format --version | grep -q 'version 14\.' || { echo 'not checked: formats are those of clang-format 14'; exit 0; }; \
	    clang-format --dry-run -Werror $(C_FILES) $(H_FILES) $(CU_FILES) $(wildcard bench/peers/*.c)

# Each header compiles alone, as C11, or as C++ if it is for that only.
lint-headers: $(BUILD)/.flags
	$(call say,LINT,headers)
	$(Q)for h in $(filter-out kernels/cuda/cudnn%,$(H_FILES)); do \
	    echo "#include \"$$h\"" | $(COMPILE) -Itests/cuda/shim -Werror -Wno-unused-function -fsyntax-only -x c - || exit 1; \
	done
	$(Q)for h in $(filter %.cuh,$(CU_FILES)) $(wildcard tests/cuda/shim/*.h); do \
	    echo "#include \"$$h\"" | $(CXX) $(CXXFLAGS) -Itests/cuda/shim -Werror -Wno-unused-function -fsyntax-only -x c++ - || exit 1; \
	done

lint-shell:
	$(call say,LINT,'shell scripts')
	$(Q)shellcheck -x -P SCRIPTDIR $(SH_FILES)

lint-manuals:
	$(call say,LINT,'manual pages')
	$(Q)mandoc -T lint -W warning man/*

lint-completions: completions
	$(call say,LINT,completions)
	$(Q)shellcheck -s bash $(BUILD)/completions/bash/*
	$(Q)for p in $(PROGRAMS); do \
	    bash -n $(BUILD)/completions/bash/$$p || exit 1; \
	    ! command -v zsh >/dev/null || zsh -n $(BUILD)/completions/zsh/_$$p || exit 1; \
	    ! command -v fish >/dev/null || fish -n $(BUILD)/completions/fish/$$p.fish || exit 1; \
	done

lint-tidy: $(TIDY)
$(BUILD)/%.tidy: %.c .clang-tidy $(H_FILES) $(BUILD)/.flags
	$(call say,TIDY,$<)
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $< -- $(PKG_CFLAGS) $(CPPFLAGS) $(filter-out -fsanitize=%,$(CFLAGS)) $(call CUDA_INCLUDE,$<) \
	    $(TIDY_DEPTH) $(if $(filter %_isa.c,$<),-DISA_SUFFIX=generic) $(if $(filter %_bf16.c,$<),$(ISA_FLAGS_avx512bf16)) \
	    $(if $(filter %_amx.c,$<),$(AMX_FLAGS)) 2>$@.err >$@.out || { cat $@.out $@.err >&2; exit 1; }
	@touch $@

compile_commands.json: $(BUILD)/.flags FORCE
	@{ sep='['; for f in $(C_FILES); do \
	    case $$f in \
	    *_isa.c) more=-DISA_SUFFIX=generic ;; \
	    kernels/cuda/*) more='-Itests/cuda/shim $(if $(NVCC),-isystem $(CUDA_HOME)/include)' ;; \
	    *) more= ;; \
	    esac; \
	    printf '%s\n{"directory": "%s", "file": "%s", "command": "%s -c %s"}' \
	        "$$sep" '$(CURDIR)' "$$f" "$(COMPILE) $$more" "$$f"; \
	    sep=','; \
	done; printf '\n]\n'; } >$@

# -- Installing ----

completions: $(foreach p,$(PROGRAMS),$(addprefix $(BUILD)/completions/,bash/$(p) zsh/_$(p) fish/$(p).fish))
$(BUILD)/completions/bash/%: $(BUILD)/%
	@mkdir -p $(@D)
	$(Q)$< --completion bash >$@
$(BUILD)/completions/zsh/_%: $(BUILD)/%
	@mkdir -p $(@D)
	$(Q)$< --completion zsh >$@
$(BUILD)/completions/fish/%.fish: $(BUILD)/%
	@mkdir -p $(@D)
	$(Q)$< --completion fish >$@

AT = $(DESTDIR)$(PREFIX)
MANUALS := $(wildcard man/*.[1-9])
# Where each made file goes, relative to AT.
INSTALLED := $(addprefix bin/,$(PROGRAMS)) \
    $(foreach m,$(MANUALS),share/man/man$(subst .,,$(suffix $(m)))/$(notdir $(m))) \
    $(addprefix share/bash-completion/completions/,$(PROGRAMS)) \
    $(addprefix share/zsh/site-functions/_,$(PROGRAMS)) \
    $(patsubst %,share/fish/vendor_completions.d/%.fish,$(PROGRAMS)) \
    lib/semppl/$(notdir $(PLUGIN))

# The plugin goes with them if it was ever built; without nvcc it is taken as it is.
install: $(BINARIES) completions $(if $(filter 1,$(CUDA)),$(PLUGIN))
	$(Q)for p in $(PROGRAMS); do \
	    install -D -m 755 $(BUILD)/$$p '$(AT)/bin/'$$p && \
	    install -D -m 644 $(BUILD)/completions/bash/$$p '$(AT)/share/bash-completion/completions/'$$p && \
	    install -D -m 644 $(BUILD)/completions/zsh/_$$p '$(AT)/share/zsh/site-functions/_'$$p && \
	    install -D -m 644 $(BUILD)/completions/fish/$$p.fish '$(AT)/share/fish/vendor_completions.d/'$$p.fish || exit 1; \
	done
	$(Q)for m in $(MANUALS); do \
	    install -D -m 644 $$m '$(AT)/share/man/man'$${m##*.}/$${m#man/} || exit 1; \
	done
	$(Q)[ ! -e $(PLUGIN) ] || install -D -m 755 $(PLUGIN) '$(AT)/lib/semppl/$(notdir $(PLUGIN))'

uninstall:
	$(Q)rm -f $(foreach f,$(INSTALLED),'$(AT)/$(f)')
	$(Q)rmdir '$(AT)/lib/semppl' 2>/dev/null || :

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz compile_commands.json

.PHONY: all help deps check check-fake check-device check-san check-peers check-cuda bench bench-cuda cuda-kit bench-peers demo fuzz fuzz-run lint lint-format lint-headers lint-shell \
    lint-manuals lint-completions lint-tidy completions install uninstall clean FORCE
