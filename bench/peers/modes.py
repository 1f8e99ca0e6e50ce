"""The ways to run a network with PyTorch on a CPU, and timing."""
import contextlib
import time

import torch

# name, type of storage under autocast, memory format
MODES = [
    ("f32", None, torch.contiguous_format),
    ("f32 channels_last", None, torch.channels_last),
    ("bf16 channels_last", torch.bfloat16, torch.channels_last),
]


def autocast(dtype):
    return torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext()


def seconds(work, times):
    """The median of some calls, after one that warms up."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 2]


def expect(work, who):
    """Rates to come: one that does not is seen in the table."""
    for name, _, _ in MODES:
        print(f"{work}\t{who} {name}\t", flush=True)


def report(work, who, rate):
    print(f"{work}\t{who}\t{rate:.1f}", flush=True)
