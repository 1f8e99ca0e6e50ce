"""The table of make check-peers: a line for each group of comparisons, with its largest error."""
import sys

import numpy as np

TOLERANCE = 1e-4


class Table:
    """what: of all lines. Groups come in the order of their first comparison."""

    def __init__(self, what):
        self.what, self.groups = what, {}

    def _add(self, group, name, error, bound, unit):
        worst = self.groups.setdefault(group, {"n": 0, "error": -1.0, "name": "", "bound": bound, "unit": unit})
        worst["n"] += 1
        if not error <= worst["error"]:  # NaN is worst
            worst.update(error=error, name=name)

    def near(self, group, name, got, want, scale=None, slack=0.0, bound=TOLERANCE):
        """|got - want| / |want|, Euclidean norms of whole tensors; scale in place of |want|, and slack: what the
        float32 of got cannot express."""
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        if got.shape != want.shape:
            self._add(group, f"{name} (shapes {got.shape}, {want.shape})", np.inf, bound, "relative")
            return
        scale = np.linalg.norm(want) if scale is None else scale
        off = max(np.linalg.norm(got - want) - slack, 0.0)
        self._add(group, name, off / scale if scale > 0 else off, bound, "relative")

    def equal(self, group, name, got, want):
        """How many elements differ."""
        got, want = np.asarray(got), np.asarray(want)
        differ = (got != want).sum() if got.shape == want.shape else np.inf
        self._add(group, name, float(differ), 0, "differ")

    def within(self, group, name, error, bound, unit):
        self._add(group, name, float(error), bound, unit)

    def print(self):
        """True if all is well."""
        bad = 0
        for group, worst in self.groups.items():
            well = worst["error"] <= worst["bound"]
            bad += not well
            error = f"{worst['error']:.3g} {worst['unit']}"
            place = worst["name"] if worst["error"] > 0 else ""
            line = f"{'ok' if well else 'FAIL':<5} {self.what:<30} {group:<44} {worst['n']:>4}  {error:<19} {place}"
            print(line.rstrip())
        sys.stdout.flush()
        return bad == 0
