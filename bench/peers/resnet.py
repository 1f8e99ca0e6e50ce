"""ResNet-18 for small pictures and ResNet-50, as semppl-ckpt new builds them."""
import torch.nn as nn
import torch.nn.functional as F


def conv(cin, cout, side, stride=1):
    return nn.Conv2d(cin, cout, side, stride, side // 2, bias=False)


class Block(nn.Module):
    def __init__(self, cin, inner, cout, stride, bottleneck, project):
        super().__init__()
        shape = [(cin, inner, 1, 1), (inner, inner, 3, stride), (inner, cout, 1, 1)]
        if not bottleneck:
            shape = [(cin, cout, 3, stride), (cout, cout, 3, 1)]
        layers = []
        for s in shape:
            layers += [conv(*s), nn.BatchNorm2d(s[1]), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers[:-1])
        self.shortcut = nn.Identity()
        if project:
            self.shortcut = nn.Sequential(conv(cin, cout, 1, stride), nn.BatchNorm2d(cout))

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def resnet(blocks, bottleneck, small):
    stem = conv(3, 64, 3) if small else conv(3, 64, 7, 2)
    layers = [stem, nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    if not small:
        layers.append(nn.MaxPool2d(3, 2, 1))
    cin = 64
    for group, count in enumerate(blocks):
        inner = 64 << group
        cout = 4 * inner if bottleneck else inner
        for i in range(count):
            stride = 2 if group and i == 0 else 1
            layers.append(Block(cin, inner, cout, stride, bottleneck, i == 0))
            cin = cout
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
