"""Encoder, projector and predictor in training mode, float64: method 2 and 3."""
import torch
import torch.nn.functional as F

BLOCKS = {  # 2.1
    "tiny": (1, 1, 1, 1),
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
    "resnet200": (3, 24, 36, 3),
}
BASIC = "tiny", "resnet18", "resnet34"
BN_EPS = 1e-5


def same(n, side, stride):
    """Cells before and after: 2.5."""
    total = max((-(-n // stride) - 1) * stride + side - n, 0)
    return total // 2, total - total // 2


class Network:
    """Tensors by their names below online/ or target/. Each forward pass leaves the mean and the variance of every
    batch norm in self.seen."""

    def __init__(self, settings, tensors):
        self.set, self.w, self.seen = settings, tensors, {}
        self.sk = settings["sk"] == "yes"

    def _pad(self, x, side, stride, value=0.0):
        if self.set["padding"] == "same":
            top, bottom = same(x.shape[2], side, stride)
            left, right = same(x.shape[3], side, stride)
        else:
            top = bottom = left = right = (side - 1) // 2
        return F.pad(x, (left, right, top, bottom), value=value)

    def conv(self, x, name, stride=1):
        w = self.w[f"encoder/{name}.weight"]
        return F.conv2d(self._pad(x, w.shape[2], stride), w, stride=stride)

    def norm(self, x, name):
        """2.6: biased variance, over all but the channels."""
        over = [0, 2, 3] if x.ndim == 4 else [0]
        mean = x.mean(over, keepdim=True)
        var = (x * x).mean(over, keepdim=True) - mean * mean
        self.seen[name] = mean.detach().flatten(), var.detach().flatten()
        shape = [1, -1, 1, 1] if x.ndim == 4 else [1, -1]
        scale, offset = (self.w[f"{name}.{p}"].reshape(shape) for p in ("weight", "bias"))
        return (x - mean) * scale / torch.sqrt(var + BN_EPS) + offset

    def relu(self, x, norm):
        """norm: the batch norm in front of it."""
        return F.relu(x)

    def conv_norm(self, x, conv, norm, stride=1):
        return self.norm(self.conv(x, conv, stride), f"encoder/{norm}")

    def conv_relu(self, x, conv, norm, stride=1):
        return self.relu(self.conv_norm(x, conv, norm, stride), f"encoder/{norm}")

    def select(self, x, at, stride):
        """2.9: the middle of a bottleneck with selective kernels."""
        u = self.conv_relu(x, f"{at}.conv2", f"{at}.bn2", stride)
        half = u.shape[1] // 2
        g = (u[:, :half] + u[:, half:]).mean([2, 3])
        g = F.linear(g, self.w[f"encoder/{at}.sk.fc1.weight"])
        g = self.relu(self.norm(g, f"encoder/{at}.sk.bn1"), f"encoder/{at}.sk.bn1")
        a = F.linear(g, self.w[f"encoder/{at}.sk.fc2.weight"]).view(len(x), 2, half).softmax(1)[..., None, None]
        return a[:, 0] * u[:, :half] + a[:, 1] * u[:, half:]

    def shortcut(self, x, at, stride):
        """2.4; with selective kernels a mean over 2 x 2 has the stride (2.9): cells beyond the plane count as 0 with
        stride 2, and not at all with stride 1."""
        if self.sk:
            counts = F.pad(torch.ones_like(x[:1, :1]), (0, 1, 0, 1), value=float(stride == 2))
            x = F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, stride) / F.avg_pool2d(counts, 2, stride)
            stride = 1
        return self.conv_norm(x, f"{at}.downsample.0", f"{at}.downsample.1", stride)

    def block(self, x, at, stride, first):
        """2.3, 2.4: at is layerG.I; the first block of a group has the stride, and a projection."""
        if self.set["encoder"] in BASIC:
            y = self.conv_relu(x, f"{at}.conv1", f"{at}.bn1", stride)
            last = f"{at}.bn2"
            y = self.conv_norm(y, f"{at}.conv2", last)
        else:
            y = self.conv_relu(x, f"{at}.conv1", f"{at}.bn1")
            y = self.select(y, at, stride) if self.sk else self.conv_relu(y, f"{at}.conv2", f"{at}.bn2", stride)
            last = f"{at}.bn3"
            y = self.conv_norm(y, f"{at}.conv3", last)
        if first and (self.set["shortcut"] == "all" or x.shape != y.shape):
            x = self.shortcut(x, at, stride)
        return self.relu(x + y, f"encoder/{last}")

    def stem(self, x):
        """2.2, 2.9, 2.11."""
        if self.set["stem"] == "small":
            return self.conv_relu(x, "conv1", "bn1")
        if self.sk:
            x = self.conv_relu(x, "conv1.0", "conv1.1", 2)
            x = self.conv_relu(x, "conv1.3", "conv1.4")
            x = self.conv_relu(x, "conv1.6", "bn1")
        else:
            x = self.conv_relu(x, "conv1", "bn1", 2)
        return self.pool(self._pad(x, 3, 2, float("-inf")))

    def pool(self, x):
        return F.max_pool2d(x, 3, 2)

    def encoder(self, x):
        """x [n][3][side][side]; features [n][width]."""
        x = self.stem(x)
        for group, blocks in enumerate(BLOCKS[self.set["encoder"]]):
            for i in range(blocks):
                x = self.block(x, f"layer{group + 1}.{i}", 2 if group and i == 0 else 1, i == 0)
        return x.mean([2, 3])

    def head(self, x, part):
        """3.1."""
        x = F.linear(x, self.w[f"{part}/0.weight"], self.w[f"{part}/0.bias"])
        x = self.relu(self.norm(x, f"{part}/1"), f"{part}/1")
        return F.linear(x, self.w[f"{part}/3.weight"])


def unit(u):
    """3.5."""
    return u / torch.sqrt(torch.clamp((u * u).sum(1, keepdim=True), min=1e-12))
