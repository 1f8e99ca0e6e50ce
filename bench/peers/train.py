"""SemPPL steps of CIFAR ResNet-18 in PyTorch: batch 128, 2 large crops, queues of 20 batches (semppl-method(7))."""
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from modes import MODES, autocast, report, seconds
from resnet import resnet

BATCH, VIEWS, CLASSES, NEGATIVES, POSITIVES, TAU, ALPHA, STEPS = 128, 2, 10, 10, 3, 0.2, 0.2, 2
HIDDEN, DIM, QUEUE = 512, 128, 20 * BATCH


def head(width):
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM, bias=False))


def contrast(anchor, positive, negatives):
    scores = torch.cat([(anchor * positive).sum(1, keepdim=True), negatives], 1) / TAU
    return F.cross_entropy(scores, torch.zeros(BATCH, dtype=torch.long))


class Step:
    def __init__(self, dtype, layout):
        self.dtype = dtype
        self.online = nn.Sequential(resnet([2, 2, 2, 2], False, True), head(512)).to(memory_format=layout)
        self.target = copy.deepcopy(self.online)
        self.predict = head(DIM)
        params = [*self.online.parameters(), *self.predict.parameters()]
        self.optimiser = torch.optim.SGD(params, lr=0.01, momentum=0.9)
        self.views = [torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=layout) for _ in range(VIEWS)]
        self.queue = [F.normalize(torch.randn(QUEUE, DIM), dim=1) for _ in range(VIEWS)]
        self.label = torch.randint(0, CLASSES, (QUEUE,))

    def loss(self, o, t):
        with torch.no_grad():
            votes = [self.label[(o[j] @ q.T).argmax(1)] for q in self.queue for j in range(VIEWS)]
            match = (torch.stack(votes, 1).mode(1).values[:, None] == self.label[None]).float()
        total = 0
        for i in range(VIEWS):
            for j in range(VIEWS):
                rows = torch.randint(0, BATCH, (BATCH, NEGATIVES))
                negatives = (t[j][rows] * o[i][:, None]).sum(2)
                total = total + contrast(o[i], t[j], negatives)
                for _ in range(POSITIVES):
                    positive = self.queue[j][torch.multinomial(match, 1)[:, 0]]
                    total = total + ALPHA / POSITIVES * contrast(o[i], positive, negatives)
        return total / VIEWS**2

    def __call__(self):
        with autocast(self.dtype):
            o = [F.normalize(self.predict(self.online(x)).float(), dim=1) for x in self.views]
            with torch.no_grad():
                t = [F.normalize(self.target(x).float(), dim=1) for x in self.views]
        loss = self.loss(o, t)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.target.parameters()), list(self.online.parameters()), 0.01)


torch.manual_seed(0)
for name, dtype, layout in MODES:
    report("train", f"PyTorch {name}", BATCH / seconds(Step(dtype, layout), STEPS))
