"""Exact neighbours with faiss: 10000 queries, a bank of 100000 x 512 (bench/search.c)."""
import faiss
import numpy as np
from rates import report, seconds

rng = np.random.default_rng(0)


def unit_rows(n):
    x = rng.uniform(-1, 1, (n, 512)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


query, index = unit_rows(10000), faiss.IndexFlatIP(512)
index.add(unit_rows(100000))
for k in 1, 20:
    report(f"neighbours, k {k}", "faiss IndexFlatIP", len(query) / seconds(lambda: index.search(query, k), 1))
