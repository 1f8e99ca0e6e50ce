"""Decoded and resized pictures against Pillow's: the same bytes where both are libjpeg-turbo.

    pixels.py DECODE FILE...

DECODE is the program of decode.c. Pillow decodes with the accurate DCT and fancy upsampling, as we do, and resizes with
integers; which of the two passes is first depends on its version, so it is asked for one after the other. CMYK is
left out: Pillow and the toolkit turn it into RGB by formulas of their own, and neither follows a profile.
"""
import subprocess
import sys

import numpy as np
from files import decode
from PIL import Image
from table import Table

SIDES = (24, 40), (97, 64), (13, 300)


def ours(program, words, files):
    """One array [h][w][3] for each file."""
    data = subprocess.run([program, *words, *files], check=True, stdout=subprocess.PIPE).stdout
    while data:
        _, size, _, rest = data.split(b"\n", 3)
        w, h = map(int, size.split())
        yield np.frombuffer(rest[: h * w * 3], np.uint8).reshape(h, w, 3)
        data = rest[h * w * 3 :]


program, *files = sys.argv[1:]
files = [f for f in files if Image.open(f).mode in ("RGB", "L", "P")]
table = Table("pictures, Pillow")
theirs = [decode(open(f, "rb").read()) for f in files]
for file, want, got in zip(files, theirs, ours(program, [], files), strict=True):
    table.equal("decoded pixels", file, got, want)
for h, w in SIDES:
    for file, whole, got in zip(files, theirs, ours(program, [f"-{h}", f"-{w}"], files), strict=True):
        across = Image.fromarray(whole).resize((w, len(whole)), Image.BICUBIC)
        want = np.asarray(across.resize((w, h), Image.BICUBIC))
        table.equal("resized with antialiasing", f"{file} to {h} x {w}", got, want)
sys.exit(not table.print())
