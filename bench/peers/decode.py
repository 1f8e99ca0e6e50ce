"""Decoding and a random resized crop to 224 with Pillow, on one core."""
import io

from crops import FILES, SIDE, box
from PIL import Image
from rates import report, seconds


def crop(data):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    x, y, w, h = box(*image.size)
    return image.resize((SIDE, SIDE), Image.BICUBIC, (x, y, x + w, y + h))


report("decode and crop, one core", "Pillow", len(FILES) / seconds(lambda: [crop(data) for data in FILES], 3))
