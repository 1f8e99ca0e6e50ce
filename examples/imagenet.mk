# imagenet.mk - the paper's run: ResNet-50 on ImageNet with 1 % or 10 % of its labels, then the linear probe.
#
#   PATH=$PWD/build:$PATH make -f examples/imagenet.mk DATA=folder LIST=1percent.txt OUT=1percent
#   PATH=$PWD/build:$PATH make -f examples/imagenet.mk DATA=folder LIST=10percent.txt OUT=10percent
#
# DATA holds train/CLASS/*.JPEG and val/CLASS/*.JPEG. LIST names the training pictures that keep their label, one a line
# as CLASS_NUMBER.JPEG; the lists of SimCLR (12,811 and 128,116 names) are those of the literature. Everything is made in
# OUT. A run that is interrupted goes on where it was, with at most PIECE steps lost.
#
# 300 epochs are 93,835 steps of 4,096 pictures, each seen in 4 crops of 224 pixels and 2 of 96. MICRO_BATCH pictures go
# through the network at once: as many as memory holds.
DATA ?= imagenet
LIST ?= 1percent.txt
OUT ?= imagenet.out
SETTINGS ?= --preset imagenet
STEPS ?= 93835
MICRO_BATCH ?= 64
PIECE ?= 100

result: $(OUT)/linear.txt $(OUT)/knn.txt
	@tail -n +1 $^
.PHONY: result
.DELETE_ON_ERROR:
.SECONDARY:

# Names of pictures are ids of their class, an underscore and a number.
$(OUT)/labels.tsv: $(LIST)
	@mkdir -p $(@D)
	sed 's,^\([^_]*\)_.*,\1/&\t\1,' $< >$@

# All training pictures, in shards of 4 GB; the last file says that they are complete.
$(OUT)/train/ledger.tsv: $(OUT)/labels.tsv
	@mkdir -p $(@D)
	semppl-prep -q --labels $< --shard-size 4Gi -o $(@D)/%04d.h5 --ledger $@ $(DATA)/train

$(OUT)/val.h5:
	@mkdir -p $(@D)
	semppl-prep -q -o $@ $(DATA)/val

$(OUT)/0.h5:
	@mkdir -p $(@D)
	semppl-ckpt new $(SETTINGS) --steps $(STEPS) --micro-batch $(MICRO_BATCH) -o $@

# Steps beyond the end of the schedule are not done, so a run that was interrupted may be begun as if it were new.
$(OUT)/trained.h5: $(OUT)/0.h5 $(OUT)/train/ledger.tsv
	[ -e $(OUT)/running.h5 ] || cp $< $(OUT)/running.h5
	for _ in $$(seq 0 $(PIECE) $(STEPS)); do \
	    semppl-train-step -n $(PIECE) -c $(OUT)/running.h5 -o $(OUT)/running.h5 --log $(OUT)/log.jsonl \
	        $(OUT)/train/*.h5 || exit; \
	done
	mv $(OUT)/running.h5 $@

# The labelled pictures are the bank of both evaluations.
$(OUT)/bank.h5: $(OUT)/trained.h5 $(OUT)/train/ledger.tsv
	semppl-embed -c $< -o $@ $(OUT)/train/*.h5
$(OUT)/test.h5: $(OUT)/trained.h5 $(OUT)/val.h5
	semppl-embed -c $< -o $@ $(OUT)/val.h5
$(OUT)/%.txt: $(OUT)/bank.h5 $(OUT)/test.h5
	semppl-eval $* -b $< $(OUT)/test.h5 >$@
