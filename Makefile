# semppl-tools: the whole build. `make help` lists targets and switches.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
OPT ?= -O2
CFLAGS ?= -g
SAN ?=
V ?=

Q := $(if $(V),,@)
PKGS := hdf5 hdf5_hl libjpeg zlib openblas libpng libarchive
override CFLAGS := -std=c11 -D_GNU_SOURCE $(OPT) -Wall -Wextra -Wvla -Wmissing-prototypes -Wstrict-prototypes \
    -ffp-contract=off -fno-math-errno -pthread -I. $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) $(CFLAGS)
CPPFLAGS += $(shell pkg-config --cflags hdf5 libjpeg zlib openblas libpng libarchive)
LDLIBS := -lhdf5_hl $(shell pkg-config --libs hdf5 libjpeg zlib openblas libpng libarchive) -lm -lpthread

PROGRAMS := semppl-prep semppl-embed semppl-knn semppl-train-step semppl-eval semppl-ckpt
LIB_SRC := $(wildcard common/*/*.c kernels/*.c kernels/ref/*.c kernels/cpu/*.c)
# kernels/cpu/*_isa.c are compiled once for each instruction set, with ISA(name) appending _avx512, _avx2 or _generic
ISA_SRC := $(wildcard kernels/cpu/*_isa.c)
LIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(ISA_SRC),$(LIB_SRC))) \
    $(foreach isa,generic avx2 avx512,$(patsubst %.c,$(BUILD)/%.$(isa).o,$(ISA_SRC)))
LIB := $(BUILD)/libsemppl.a

all: $(addprefix $(BUILD)/,$(PROGRAMS))

$(BUILD)/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/%.generic.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -O3 -ffp-contract=fast -DISA_SUFFIX=generic -MMD -MP -c -o $@ $<
$(BUILD)/%.avx2.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -O3 -ffp-contract=fast -mavx2 -mfma -DISA_SUFFIX=avx2 -MMD -MP -c -o $@ $<
$(BUILD)/%.avx512.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -O3 -ffp-contract=fast -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512 \
	    -DISA_SUFFIX=avx512 -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(addprefix $(BUILD)/,$(PROGRAMS)): $(BUILD)/%: $(BUILD)/cmd/%.o $(LIB)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Unit and kernel tests: one program each
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS)
$(patsubst tests/kern/%.c,$(BUILD)/tests/kern/%,$(filter-out tests/kern/check.c,$(wildcard tests/kern/*.c))): $(BUILD)/tests/kern/check.o

FORCE:
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)' > $@

-include $(LIB_OBJ:.o=.d) $(patsubst %,$(BUILD)/cmd/%.d,$(PROGRAMS)) $(wildcard $(BUILD)/tests/*/*.d)
.SECONDARY:
