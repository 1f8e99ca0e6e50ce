"""Decoding and a random resized crop to 224 with torchvision, on one core."""
import numpy as np
import torch
from crops import FILES, SIDE, box
from rates import report, seconds
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resized_crop

FILES = [torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for data in FILES]


def crop(data):
    image = decode_jpeg(data, ImageReadMode.RGB)
    x, y, w, h = box(image.shape[2], image.shape[1])
    return resized_crop(image, y, x, h, w, [SIDE, SIDE], InterpolationMode.BICUBIC, antialias=True)


torch.set_num_threads(1)
report("decode and crop, one core", "torchvision", len(FILES) / seconds(lambda: [crop(data) for data in FILES], 3))
