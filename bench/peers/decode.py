"""Decoding and a random resized crop to 224 with Pillow, on one core."""
import io
import random
import sys
from pathlib import Path

from modes import report, seconds
from PIL import Image

SIDE = 224
FILES = [path.read_bytes() for path in sorted(Path(sys.argv[1]).rglob("*.jpg"))[:64]]


def crop(data):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    while True:
        area = random.uniform(0.08, 1) * image.width * image.height
        ratio = 2 ** random.uniform(-0.415, 0.415)  # 3/4 to 4/3
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if w <= image.width and h <= image.height:
            break
    x, y = random.randint(0, image.width - w), random.randint(0, image.height - h)
    return image.resize((SIDE, SIDE), Image.BICUBIC, (x, y, x + w, y + h))


random.seed(0)
report("decode and crop, one core", "Pillow", len(FILES) / seconds(lambda: [crop(data) for data in FILES], 3))
