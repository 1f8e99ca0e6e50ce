"""Exact neighbours against faiss IndexFlatIP, and against float64.

    neighbours.py write BANK.h5 QUERIES.h5      random vectors as semppl-embedding(5)
    neighbours.py check BANK.h5 QUERIES.h5 LABELS.h5

LABELS is what semppl-knn --hdf5 --show-neighbours made of the two. Where float64 finds two similarities closer than
float32 can tell, either order is right; equal rows of the bank come in its order.
"""
import sys

import faiss
import h5py
import numpy as np
from table import Table

CLASSES, DIM, BANK, QUERIES, TWINS = 10, 96, 5000, 500, 100
NEAR = 1e-6


def write(path, x, label, first):
    """Row i is called by its number from first, which is its id too."""
    keys = [str(first + i).encode() for i in range(len(x))]
    with h5py.File(path, "w", libver="v110") as file:
        strings = {"format": "semppl-embedding", "layer": "features", "net": "online", "checkpoint": "0" * 16}
        for name, value in strings.items():
            file.attrs[name] = np.bytes_(value)
        for name, value in {"version": 1, "normalised": 0, "complete": 1}.items():
            file.attrs[name] = np.int64(value)
        file["x"] = x.astype(np.float32)
        file["id"] = np.arange(first, first + len(x), dtype=np.uint64)
        file["label"] = label.astype(np.int32)
        file["classes"] = np.array([f"class {c}" for c in range(CLASSES)], "S7")
        file["key"] = np.frombuffer(b"".join(keys), np.uint8)
        file["key_offset"] = np.cumsum([0, *map(len, keys)]).astype(np.uint64)


def write_both(bank, queries):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BANK, DIM)) * rng.uniform(0.5, 2, (BANK, 1))
    x[TWINS : 2 * TWINS] = x[:TWINS]  # ties: the lower row first
    write(bank, x, rng.integers(0, CLASSES, BANK), 1)
    write(queries, rng.standard_normal((QUERIES, DIM)), np.full(QUERIES, -1), 1 + BANK)


def unit_rows(path, dtype):
    with h5py.File(path) as file:
        x = file["x"][:].astype(dtype)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def check(bank, queries, labels):
    with h5py.File(labels) as file:
        ids, similarity = file["neighbour_id"][:].astype(np.int64) - 1, file["neighbour_similarity"][:]
    table, k = Table("neighbours, faiss"), ids.shape[1]
    exact = unit_rows(queries, np.float64) @ unit_rows(bank, np.float64).T
    best = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    index = faiss.IndexFlatIP(DIM)
    index.add(unit_rows(bank, np.float32))
    found, rows = index.search(unit_rows(queries, np.float32), k)
    for name, want in (("float64", best), ("faiss", rows)):
        swapped = ids != want
        near = np.abs(np.take_along_axis(exact, ids, 1) - np.take_along_axis(exact, want, 1)) < NEAR
        group = f"neighbours: {name}, {(swapped & near).sum()} swapped"
        table.within(group, "", (swapped & ~near).sum(), 0, "differ")
    table.within("similarities: float64", "", np.abs(similarity - np.take_along_axis(exact, ids, 1)).max(), NEAR, "off")
    table.within("similarities: faiss", "", np.abs(similarity - found).max(), NEAR, "off")
    pairs = [(row.index(b), row.index(b + TWINS))
             for row in ids.tolist() for b in row if b < TWINS and b + TWINS in row]
    table.within(f"{len(pairs)} pairs of equal rows: in order", "", sum(a > b for a, b in pairs), 0, "are not")
    return table.print()


if sys.argv[1] == "write":
    write_both(*sys.argv[2:])
else:
    sys.exit(not check(*sys.argv[2:]))
