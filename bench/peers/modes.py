"""The ways to run a network with PyTorch on a CPU; those whose names end in the second argument, if there is one."""
import contextlib
import sys

import torch

LABEL = "PyTorch " + ".".join(torch.__version__.split(".")[:2])

# name, type of storage under autocast, memory format
MODES = [
    ("f32", None, torch.contiguous_format),
    ("f32 channels_last", None, torch.channels_last),
    ("bf16 channels_last", torch.bfloat16, torch.channels_last),
]
MODES = [mode for mode in MODES if mode[0].endswith("".join(sys.argv[2:]))]


def autocast(dtype):
    return torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext()


def expect(work, who):
    """Rates to come: one that does not is seen in the table."""
    for name, _, _ in MODES:
        print(f"{work}\t{who} {name}\t", flush=True)
