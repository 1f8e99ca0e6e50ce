"""Random resized crops to 224 of a folder's JPEGs: torchvision's default parameters."""
import random
import sys
from pathlib import Path

SIDE = 224
FILES = [path.read_bytes() for path in sorted(Path(sys.argv[1]).rglob("*.jpg"))[:64]]
random.seed(0)


def box(width, height):
    """Left, above, width and height."""
    while True:
        area = random.uniform(0.08, 1) * width * height
        ratio = 2 ** random.uniform(-0.415, 0.415)  # 3/4 to 4/3
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if w <= width and h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
