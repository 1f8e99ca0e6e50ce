#!/usr/bin/env python3
"""Makes arrays-p2.pkl ... arrays-p5.pkl and arrays.safetensors of this folder with numpy; run it here.

The pickles hold one array of each kind that a checkpoint may have, and much that it may have beside. JAX,
dill and Haiku are not needed: stand-ins by their names pickle to the same opcodes.
"""
import collections
import json
import pickle
import struct
import sys
import types

import numpy as np


def stand_in(module, name, value):
    """value as module.name, for the pickler to find there."""
    parts = module.split(".")
    for i in range(len(parts)):
        at = ".".join(parts[:i + 1])
        sys.modules.setdefault(at, types.ModuleType(at))
    value.__module__, value.__qualname__, value.__name__ = module, name, name
    setattr(sys.modules[module], name, value)
    return value


class Call:
    """Pickles as a call of a stand-in."""
    def __init__(self, function, *args):
        self.reduced = (function, args)

    def __reduce__(self):
        return self.reduced

    def __call__(self):
        """Only so that the pickler takes it for a function."""


def function(module, name):
    return stand_in(module, name, lambda *args: None)


class Thing:
    """A class that nobody knows, with an array in its state."""
    def __init__(self):
        self.inside = np.array([4, 5], "f4")


jax_array = function("jax._src.array", "_reconstruct_array")
dill_array = function("dill._dill", "_create_array")
dill_dtype = function("dill._dill", "_create_dtypemeta")
stand_in("lost.module", "Thing", Thing)
stand_in("haiku._src.data_structures", "FlatMapping", type("FlatMapping", (Call,), {}))
Pair = stand_in("lost.module", "Pair", collections.namedtuple("Pair", "first second"))


def flat_mapping(d):
    cls = sys.modules["haiku._src.data_structures"].FlatMapping
    return cls(cls, d)


def bfloat16(values):
    """As ml_dtypes' arrays pickle, of numbers that are exact in it."""
    wide = np.array(values, "<f4").view("<u2")[1::2].copy()
    fun, args, state = wide.__reduce__()
    name = stand_in("ml_dtypes", "bfloat16", type("bfloat16", (), {}))
    return State(Call(fun, *args), (1, state[1], State(Call(np.dtype, name, False, True), (3, "<")), False, state[4]))


class State:
    """What value pickles to, and a state behind it."""
    def __init__(self, value, state):
        self.reduced = value.__reduce__() + (state,)

    def __reduce__(self):
        return self.reduced


def main():
    a = (np.arange(12, dtype="f4").reshape(3, 4) - 6) / 8
    shared = np.array([1, 2, 3], "f4")
    fun, args, state = shared.__reduce__()
    by_dill = (1, (3,), State(Call(Call(dill_dtype, None), "f4", False, True), (3, "<")), False, state[4])
    tree = {
        "types": {"f2": a[0].astype("f2"), "f4": a, "f8": a.astype("f8"), "i4": np.array(7, "i4"),
                  "i8": np.arange(3, dtype="i8") - 1, "u1": np.arange(3, dtype="u1"), "bf16": bfloat16([1, -0.5, 3])},
        "fortran": np.asfortranarray(a),
        "big-endian": a.astype(">f4"),
        "number": np.float32(2.5),
        "empty": np.zeros((0, 3), "f4"),
        "jax": Call(jax_array, fun, args, state, {"weak_type": False}),
        "dill": Call(dill_array, fun, args, by_dill, None),
        "flat": flat_mapping({"net/~/conv": {"w": shared}}),
        "ordered": collections.OrderedDict(b=shared, a=shared),
        "list": [shared, {1: shared}, ()],
        "thing": Thing(),
        "pair": Pair(shared, None),
        "objects": np.array([None, "x"], dtype=object),
        "step": 5, "far": 2**80, "below": -3, "much": 70000, "rate": 0.5, "yes": True, "none": None,
        "set": {1}, "bytes": b"\x00\xff",
    }
    for protocol in 2, 3, 4, 5:
        with open(f"arrays-p{protocol}.pkl", "wb") as f:
            pickle.dump(tree, f, protocol)
    write_safetensors(a)


def write_safetensors(a):
    tensors = {"a.i64": ("I64", np.array(9, "<i8")), "f64": ("F64", a.astype("<f8")), "f32": ("F32", a),
               "f\u00fcnf \"16\"": ("F16", a[0].astype("<f2")),
               "bf16": ("BF16", np.array([1, -0.5, 3], "<f4").view("<u2")[1::2].copy()),
               "none": ("F32", np.zeros((0, 2), "<f4")), "bool": ("BOOL", np.array([1, 0], "u1"))}
    header, at = {"__metadata__": {"made by": "hand\n"}}, 0
    for name, (dtype, x) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open("arrays.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(x.tobytes() for _, x in tensors.values()))


main()
