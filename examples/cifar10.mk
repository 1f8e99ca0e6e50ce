# cifar10.mk - CIFAR-10 with few labels: how good features get, over seeds, and what each part of the method does.
#
#   PATH=$PWD/build:$PATH make -f examples/cifar10.mk DATA=folder             40, 250 and 4,000 labels
#   PATH=$PWD/build:$PATH make -f examples/cifar10.mk DATA=folder ablations   one part changed at a time, 4,000 labels
#
# DATA holds the pictures, train/CLASS/* and test/CLASS/*; everything is made in OUT. Tables give the share of test
# pictures whose class comes out right, as mean over SEEDS and spread (greatest less least). A seed decides which labels
# are kept, the first weights and all draws. An interrupted run goes on where it was, with at most PIECE steps lost.
#
# The defaults are small: a run takes a quarter of an hour on two cores. Width 1 and 100,000 steps are more like it.
DATA ?= cifar10
OUT ?= cifar10.out
SEEDS ?= 1 2 3
LABELS ?= 40 250 4000
WIDTH ?= 0.25
BATCH ?= 256
STEPS ?= 1000
PIECE ?= 100

# Two large crops, as the preset has it; the weights of the losses are those of the paper's configuration.
FULL = --preset cifar --width $(WIDTH) --batch $(BATCH) --steps $(STEPS) --contrast-weight 0.3 --invariance S
VARIANTS := full no-semantic no-votes oracle no-invariance five-neighbours short-queue small-crops
no-semantic := --alpha 0
no-votes := --pseudo-labels none
oracle := --pseudo-labels oracle
no-invariance := --invariance none
five-neighbours := --neighbours 5
short-queue = --queue $(BATCH)
small-crops := --small-crops 2

labels: $(OUT)/labels.txt
	@cat $<
ablations: $(OUT)/ablations.txt
	@cat $<
.PHONY: labels ablations
.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:

# A run is called VARIANT.LABELS.SEED.
part = $(word $(1),$(subst ., ,$(2)))
runs = $(foreach v,$(1),$(foreach n,$(2),$(foreach s,$(SEEDS),$(OUT)/$(v).$(n).$(s)/scores)))
data = $(OUT)/train.$(call part,2,$(1)).$(call part,3,$(1)).h5

$(OUT)/labels.txt: $(call runs,full,$(LABELS))
$(OUT)/ablations.txt: $(call runs,$(VARIANTS),4000)
$(OUT)/%.txt:
	@cat $^ | awk -F '\t' ' \
	    { run = $$1 FS $$2; if (!(run in n)) order[++runs] = run; n[run]++; \
	      for (i = 3; i <= 4; i++) { x = 100 * $$i; sum[run, i] += x; \
	          if (n[run] == 1 || x < least[run, i]) least[run, i] = x; \
	          if (n[run] == 1 || x > most[run, i]) most[run, i] = x } } \
	    END { printf "%-16s %6s %6s %18s %18s\n", "", "labels", "seeds", "neighbours", "linear"; \
	          for (r = 1; r <= runs; r++) { run = order[r]; split(run, name, FS); \
	              printf "%-16s %6d %6d", name[1], name[2], n[run]; \
	              for (i = 3; i <= 4; i++) \
	                  printf "   %5.1f %% (%4.1f)", sum[run, i] / n[run], most[run, i] - least[run, i]; \
	              print "" } }' >$@

$(OUT)/test.h5:
	@mkdir -p $(@D)
	semppl-prep -q --pixels 32 -o $@ $(DATA)/test

$(OUT)/train.%.h5:
	@mkdir -p $(@D)
	semppl-prep -q --pixels 32 --labels-per-class $$(($(call part,1,$*) / 10)) --seed $(call part,2,$*) \
	    -o $@ $(DATA)/train

$(OUT)/%/0.h5:
	@mkdir -p $(@D)
	semppl-ckpt new $(FULL) $($(call part,1,$*)) --seed $(call part,3,$*) -o $@

# Steps beyond the end of the schedule are not done, so a run that was interrupted may be begun as if it were new.
$(OUT)/%/trained.h5: $(OUT)/%/0.h5 $$(call data,$$*)
	[ -e $(@D)/running.h5 ] || cp $< $(@D)/running.h5
	for _ in $$(seq 0 $(PIECE) $(STEPS)); do \
	    semppl-train-step -q -n $(PIECE) -c $(@D)/running.h5 -o $(@D)/running.h5 --log $(@D)/log.jsonl \
	        $(call data,$*) || exit; \
	done
	mv $(@D)/running.h5 $@

$(OUT)/%/scores: $(OUT)/%/trained.h5 $$(call data,$$*) $(OUT)/test.h5
	semppl-embed -q -c $< -o $(@D)/bank.h5 $(call data,$*)
	semppl-embed -q -c $< -o $(@D)/test.h5 $(OUT)/test.h5
	top1() { semppl-eval "$$1" -q --json -b $(@D)/bank.h5 $(@D)/test.h5 | sed 's/.*"top1": *\([0-9.]*\).*/\1/'; } && \
	    knn=$$(top1 knn) && linear=$$(top1 linear) && \
	    printf '%s\t%s\t%s\t%s\n' $(call part,1,$*) $(call part,2,$*) "$$knn" "$$linear" >$@
