"""ResNet-50's features against torchvision's, with the tensors of a checkpoint, in float64.

    features.py CHECKPOINT.h5 PIXELS.h5 EMBEDDINGS.h5

PIXELS is a decoded shard of the large side's size, so that both are given the same numbers.
"""
import sys

import h5py
import numpy as np
import torch
import torchvision
from files import Checkpoint
from table import Table

checkpoint = Checkpoint(sys.argv[1])
with h5py.File(sys.argv[2]) as shard, h5py.File(sys.argv[3]) as embeddings:
    pixels, got = shard["pixels"][:], embeddings["x"][:]
settings = checkpoint.settings
mean, dev = (np.array([settings[f"{what}_{c}"] for c in "rgb"]) for what in ("mean", "dev"))
net = torchvision.models.resnet50()
net.fc = torch.nn.Identity()
net.load_state_dict({name: torch.tensor(x) for name, x in checkpoint.below("online/encoder").items()})
net.double().eval()
x = torch.tensor((pixels / 255 - mean) / dev).permute(0, 3, 1, 2)
with torch.no_grad():
    want = net(x).numpy()
table = Table("ResNet-50, torchvision")
for row, pair in enumerate(zip(got, want, strict=True)):
    table.near("features", f"row {row}", *pair)
sys.exit(not table.print())
