"""Our files by h5py: semppl-checkpoint(5), semppl-shard(5), and the dump of semppl-train-step(1)."""
import io

import h5py
import numpy as np
from PIL import Image, ImageOps


def attributes(file):
    """Of the root; strings as str."""
    return {k: v.decode() if isinstance(v, bytes) else v.item() for k, v in file.attrs.items()}


class Checkpoint:
    def __init__(self, path):
        self.tensors = {}
        with h5py.File(path) as file:
            self.settings = attributes(file)
            file.visititems(lambda name, item: self._take(name, item))

    def _take(self, name, item):
        if isinstance(item, h5py.Dataset) and "/" in name:
            self.tensors[name] = item[()]

    def __getitem__(self, name):
        return self.tensors[name]

    def below(self, group):
        """Tensors by what follows the group's name."""
        return {name[len(group) + 1 :]: x for name, x in self.tensors.items() if name.startswith(group + "/")}


class Dump(Checkpoint):
    """settings are the metrics of the step."""


class Shard:
    """Encoded; pictures and masks are decoded by Pillow."""

    def __init__(self, path):
        with h5py.File(path) as file:
            self.id, self.label = file["id"][:], file["label"][:]
            self.files = self._files(file["bytes"], file["offset"])
            self.masks = self._files(file["mask"], file["mask_offset"]) if "mask" in file else None

    @staticmethod
    def _files(data, offset):
        data, offset = data[:], offset[:].astype(np.int64)
        return [data[a:b].tobytes() for a, b in zip(offset, offset[1:])]

    def picture(self, row):
        return decode(self.files[row])

    def mask(self, row):
        """Where the object is [h][w]; None if there is no mask."""
        return decode(self.masks[row]).mean(2) >= 128 if self.masks and self.masks[row] else None


def decode(data):
    """RGB [h][w][3], turned as EXIF says."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
