"""Moves the decisions of a checkpoint's online network away from their edges.

    nudge.py CHECKPOINT.h5 DUMP.h5

Where a ReLU's input is next to 0, or two cells of a max-pool's window are next to equal, float32 may decide otherwise
than float64, and each such decision changes gradients by more than all rounding does. So with the views of the dump
the offset of every batch norm in front of a ReLU moves a little, to the middle of the widest gap between the values
around 0, and filters of the stem change until no window is undecided (equal cells, of equal patches, do no harm). The
file loses its checksums.
"""
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from files import Checkpoint, Dump
from network import Network

REACH = 0.1  # of an offset's move, in deviations
EQUAL, CLOSE = 1e-12, 3e-6  # differences of two cells of a window, in values of deviation 1


def to_gap(x):
    """The move that takes the widest gap within reach to 0."""
    x = np.sort(x)
    middle, gap = (x[1:] + x[:-1]) / 2, x[1:] - x[:-1]
    gap[np.abs(middle) > REACH * x.std()] = 0
    return -middle[gap.argmax()] if gap.max() > 0 else 0


def undecided(x):
    """Which channels have a window whose best two cells are close."""
    windows = F.unfold(x, 3, stride=2).view(len(x), x.shape[1], 9, -1)
    best = windows.topk(2, dim=2).values
    apart = best[:, :, 0] - best[:, :, 1]
    near = (best[:, :, 0] > 0) & (apart > EQUAL) & (apart < CLOSE)
    return near.any(2).any(0)


class Nudged(Network):
    """All passes of the views at once, a thread each, that meet at every decision. In float32, but for the stem, where
    equal cells are told from close ones."""

    def __init__(self, settings, tensors, passes):
        stem = "encoder/conv1.", "encoder/bn1."
        tensors = {name: torch.tensor(x) for name, x in tensors.items()}
        super().__init__(settings, {name: x.double() if name.startswith(stem) else x for name, x in tensors.items()})
        self.barrier, self.here, self.decided = threading.Barrier(passes, self.decide), {}, True

    @torch.no_grad()
    def forward(self, x):
        try:
            self.head(self.head(self.encoder(x), "projector"), "predictor")
        except Exception:
            self.barrier.abort()
            raise

    def meet(self, at, x):
        """What decide() says of all views."""
        self.here[threading.get_ident()] = at, x
        self.barrier.wait()
        return self.answer

    @torch.no_grad()
    def decide(self):
        ats, views = zip(*self.here.values())
        if ats[0] == "pool":
            channels = torch.stack([undecided(x) for x in views]).any(0)
            filters = self.w[f"encoder/{'conv1.6' if self.sk else 'conv1'}.weight"]
            filters[channels] *= 1 + 0.01 * torch.randn_like(filters[channels])
            self.answer = not channels.any()
            return
        values = torch.cat([x.transpose(0, 1).flatten(1) for x in views], 1).numpy()
        self.answer = torch.tensor([to_gap(x) for x in values], dtype=views[0].dtype)
        self.w[f"{ats[0]}.bias"] += self.answer

    def relu(self, x, norm):
        move = self.meet(norm, x)
        return super().relu(x + move.view([-1] + [1] * (x.ndim - 2)), norm)

    def pool(self, x):
        self.decided = self.meet("pool", x)
        return super().pool(x)

    def stem(self, x):
        y = super().stem(x.double())
        while not self.decided:
            y = super().stem(x.double())
        return y.float()


checkpoint, dump = Checkpoint(sys.argv[1]), Dump(sys.argv[2])
torch.manual_seed(0)
settings = checkpoint.settings
inputs = [torch.tensor(dump[f"view/{v}/input"]) for v in range(settings["large_crops"] + settings["small_crops"])]
parts = [part.permute(0, 3, 1, 2) for x in inputs for part in x.split(settings["micro_batch"] or len(x))]
net = Nudged(settings, checkpoint.below("online"), len(parts))
with ThreadPoolExecutor(len(parts)) as threads:
    list(threads.map(net.forward, parts))
with h5py.File(sys.argv[1], "r+") as file:
    for where in (file, *(x for x in file.values() if isinstance(x, h5py.Group))):
        where.attrs.pop("checksum", None)
    for name, x in net.w.items():
        file[f"online/{name}"][()] = x.numpy()
