"""Timing, and the lines that ratios.py reads."""
import time


def seconds(work, times):
    """The median of some calls, after one that warms up."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 2]


def report(work, who, rate):
    print(f"{work}\t{who}\t{rate:.1f}", flush=True)
