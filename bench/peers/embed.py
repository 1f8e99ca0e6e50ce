"""Features of ResNet-50 at 224 in PyTorch, from pixels in memory and from JPEG files decoded by Pillow."""
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from modes import LABEL, MODES, autocast, expect
from PIL import Image
from rates import report, seconds
from resnet import resnet

BATCH, SIDE = 32, 224
FILES = sorted(Path(sys.argv[1]).rglob("*.jpg"))[:BATCH]


def centre(path):
    """The short side to 256, then the centre, as torchvision's usual transform."""
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.BICUBIC)
    left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def load(pool):
    pixels = torch.from_numpy(np.stack(list(pool.map(centre, FILES))))
    return (pixels.permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.225


torch.manual_seed(0)
expect("embed", LABEL)
expect("embed from JPEG", LABEL + ", Pillow")
with ThreadPoolExecutor(torch.get_num_threads()) as pool, torch.inference_mode():
    for name, dtype, layout in MODES:
        net = resnet([3, 4, 6, 3], True, False).eval().to(memory_format=layout)
        held = load(pool).contiguous(memory_format=layout)

        def run(x):
            with autocast(dtype):
                return net(x)

        report("embed", f"{LABEL} {name}", len(held) / seconds(lambda: run(held), 2))
        report("embed from JPEG", f"{LABEL}, Pillow {name}",
               len(held) / seconds(lambda: run(load(pool).contiguous(memory_format=layout)), 2))
