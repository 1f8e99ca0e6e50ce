"""The crops of a step again, by NumPy in float64 and from the method's text (4.1 to 4.8), with the draws of the dump.

    augment.py NAME SHARD DUMP.h5 AFTER.h5

Pictures are decoded by Pillow. The draws are checked to be allowed ones.
"""
import sys

import numpy as np
from files import Checkpoint, Dump, Shard
from table import Table


def keys(x):
    """Keys' cubic with a = -0.5."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def taps(n, side):
    """[side][n] weights of a resize from n cells to side: 4.3."""
    at = (np.arange(side) + 0.5) * n / side - 0.5
    w = keys(np.arange(n)[None] - at[:, None])
    return w / w.sum(1, keepdims=True)


def rgb_to_hsv(x):
    r, g, b = np.moveaxis(x, -1, 0)
    v, low = x.max(-1), x.min(-1)
    span = v - low
    by = np.where(span > 0, span, 1)
    h = np.where(v == r, (g - b) / (6 * by),
                 np.where(v == g, (b - r) / (6 * by) + 1 / 3, (r - g) / (6 * by) + 2 / 3))
    h = np.where(span > 0, h, 0)
    return np.where(h < 0, h + 1, h), np.where(v > 0, span / np.where(v > 0, v, 1), 0), v


def hsv_to_rgb(h, s, v):
    c = s * v
    x, m = c * (1 - np.abs((6 * h) % 2 - 1)), v - c
    o = np.zeros_like(c)
    sector = np.floor(6 * h).astype(int) % 6
    rgb = [np.choose(sector, list(p)) for p in
           ((c, x, o, o, x, c), (x, c, c, x, o, o), (o, o, x, c, c, x))]
    return np.stack(rgb, -1) + m[..., None]


def jitter(x, draw):
    """4.4."""
    for op in draw["order"]:
        if op == 0:
            x = x + draw["brightness"]
        elif op == 1:
            mean = x.mean((0, 1))
            x = draw["contrast"] * (x - mean) + mean
        else:
            h, s, v = rgb_to_hsv(x)
            s = np.clip(s * draw["saturation"], 0, 1) if op == 2 else s
            h = (h + draw["hue"]) % 1 if op == 3 else h
            x = hsv_to_rgb(h, s, v)
        x = np.clip(x, 0, 1)
    return x


def blur(x, sigma):
    """4.5: zeros outside."""
    radius = (len(x) // 10) // 2
    at = np.arange(-radius, radius + 1)
    w = np.exp(-(at**2) / (2 * sigma**2))
    w /= w.sum()
    for axis in 1, 0:
        padded = np.pad(x, [(radius, radius) if a == axis else (0, 0) for a in range(3)])
        x = sum(w[i] * np.take(padded, np.arange(len(x)) + i, axis) for i in range(len(w)))
    return x


def view(picture, mask, draw, side, mean, dev):
    """4.1: what the network is given, [side][side][3]. mask: 4.8, or None."""
    top, left, h, w = (int(draw[k]) for k in ("top", "left", "height", "width"))
    whole = picture if mask is None else np.where(mask[..., None], picture, 255.0 * draw["fill"])
    crop = whole[top : top + h, left : left + w].astype(np.float64)
    x = np.einsum("yi,xj,ijc->yxc", taps(h, side), taps(w, side), crop, optimize=True)
    x = np.clip(x / 255, 0, 1)
    x = x[:, ::-1] if draw["flip"] else x
    x = jitter(x, draw) if draw["jitter"] else x
    if draw["grey"]:
        x = np.repeat((x @ [0.2989, 0.5870, 0.1140])[..., None], 3, 2)
    x = np.clip(x, 0, 1)
    x = blur(x, draw["sigma"]) if draw["sigma"] > 0 else x
    x = np.where(x < 0.5, x, 1 - x) if draw["solarise"] else x
    return (np.clip(x, 0, 1) - mean) / dev


def allowed(draw, picture, size, odd, settings):
    """4.2, 4.4 to 4.6, 4.8: what is wrong with a draw, or nothing."""
    height, width = picture.shape[:2]
    top, left, h, w = (int(draw[k]) for k in ("top", "left", "height", "width"))
    if not (h >= 1 and w >= 1 and top + h <= height and left + w <= width):
        return "crop outside"
    least, most = (settings[f"{size}_area_{end}"] * height * width for end in ("min", "max"))
    if (h - 0.5) * (w - 0.5) > most or h < height and w < width and (h + 0.5) * (w + 0.5) < least:
        return "area"
    if h < height and w < width and not (
            (w - 0.5) / (h + 0.5) <= settings["aspect_max"] and (w + 0.5) / (h - 0.5) >= settings["aspect_min"]):
        return "aspect"
    for name, middle in (("brightness", 0), ("contrast", 1), ("saturation", 1), ("hue", 0)):
        if abs(draw[name] - middle) > settings[name] * (1 + 1e-6):
            return name
    if sorted(draw["order"]) != [0, 1, 2, 3]:
        return "order"
    if draw["sigma"] > 0 and not settings["sigma_min"] * (1 - 1e-6) <= draw["sigma"] <= settings["sigma_max"]:
        return "sigma"
    if draw["mask"] and size == "small" or not 0 <= draw["fill"] <= 1:
        return "mask"
    for what, done in (("blur", draw["sigma"] > 0), ("solarise", bool(draw["solarise"]))):
        p = [settings[f"{what}_{x}"] for x in "ab"]
        p = sum(p) / 2 if settings["view_sets"] == "averaged" else p[odd]
        if done and p == 0 or not done and p == 1:
            return what
    return None


def main(name, shard, dump, after):
    shard, dump, settings = Shard(shard), Dump(dump), Checkpoint(after).settings
    mean, dev = ([settings[f"{what}_{c}"] for c in "rgb"] for what in ("mean", "dev"))
    table, rows, large = Table(name), dump["batch/row"], settings["large_crops"]
    table.equal("ids of the pictures", "", dump["batch/id"], shard.id[rows])
    given, there = dump["batch/given"], shard.label[rows]
    hidden = (given < 0) & (there >= 0)
    if settings["labelled_ratio"] > 0:  # 1.4
        given = np.where(hidden & (settings["labelled_again"] == "yes"), there, given)
        labelled = round(settings["batch"] / (settings["labelled_ratio"] + 1))
        table.equal("labels given", "how many", (dump["batch/given"] >= 0).sum(), labelled)
    table.equal("labels given", "which", given, there)
    pictures = [shard.picture(row) for row in rows]
    masks = [shard.mask(row) for row in rows]
    masks = [m if m is not None and m.mean() >= settings["mask_least"] else None for m in masks]
    for v in range(large + settings["small_crops"]):
        size, among = ("large", v) if v < large else ("small", v - large)
        draws = {k: x for k, x in dump.below(f"view/{v}").items() if k not in ("input", "prediction", "projection")}
        for b, picture in enumerate(pictures):
            draw = {k: x[b] for k, x in draws.items()}
            wrong = allowed(draw, picture, size, among % 2, settings)
            table.within("draws: allowed", f"view {v}, picture {b}: {wrong}", wrong is not None, 0, "are not")
            want = view(picture, masks[b] if draw["mask"] else None, draw, settings[f"{size}_side"], mean, dev)
            table.near("crops", f"view {v}, picture {b}", dump[f"view/{v}/input"][b], want)
    return table.print()


sys.exit(not main(*sys.argv[1:]))
