"""SemPPL steps in PyTorch (semppl-method(7)), on pictures in memory: crops are made beforehand."""
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from modes import LABEL, MODES, autocast, expect
from rates import report, seconds
from resnet import resnet

CLASSES, NEGATIVES, POSITIVES, TAU, ALPHA = 10, 10, 3, 0.2, 0.2
LR, MOMENTUM, TRUST, DECAY, EMA = 0.01, 0.9, 1e-3, 1e-6, 0.99


def head(width, hidden, dim):
    return nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, dim, bias=False))


class Lars:
    """v = mu v + g after g += wd w and g *= eta |w| / |g|, but for biases and batch norm; w -= lr v."""

    def __init__(self, params):
        self.params = params
        self.weights = [i for i, p in enumerate(params) if p.ndim > 1]
        self.velocity = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self):
        grad = [p.grad for p in self.params]
        w, g = [self.params[i] for i in self.weights], [grad[i] for i in self.weights]
        torch._foreach_add_(g, w, alpha=DECAY)
        ratio = torch._foreach_div(torch._foreach_norm(w), torch._foreach_norm(g))
        torch._foreach_mul_(ratio, TRUST)
        torch._foreach_mul_(g, ratio)
        torch._foreach_mul_(self.velocity, MOMENTUM)
        torch._foreach_add_(self.velocity, grad)
        torch._foreach_add_(self.params, self.velocity, alpha=-LR)


def contrast(anchor, positive, negatives):
    scores = torch.cat([(anchor * positive).sum(1, keepdim=True), negatives], 1) / TAU
    return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))


class Step:
    """batch pictures, large crops and small ones of sides (large, small); queues of 20 batches."""

    def __init__(self, dtype, layout, encoder, width, hidden, dim, batch, large, small, sides):
        self.dtype, self.batch, self.large = dtype, batch, large
        self.online = nn.Sequential(encoder(), head(width, hidden, dim)).to(memory_format=layout)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.predict = head(dim, hidden, dim)
        self.params = [*self.online.parameters(), *self.predict.parameters()]
        self.optimiser = Lars(self.params)
        crops = [sides[0]] * large + [sides[1]] * small
        self.views = [torch.randn(batch, 3, side, side).contiguous(memory_format=layout) for side in crops]
        self.queue = [F.normalize(torch.randn(20 * batch, dim), dim=1) for _ in range(large)]
        self.label = torch.randint(0, CLASSES, (20 * batch,))

    @torch.no_grad()
    def vote(self, o):
        votes = [self.label[(o[j] @ q.T).argmax(1)] for q in self.queue for j in range(self.large)]
        return torch.stack(votes, 1).mode(1).values

    def loss(self, o, t):
        match = (self.vote(o)[:, None] == self.label[None]).float()
        total, pairs = 0, [(i, j) for i in range(len(o)) for j in range(self.large)]
        for i, j in pairs:
            rows = torch.randint(0, self.batch, (self.batch, NEGATIVES))
            negatives = (t[j][rows] * o[i][:, None]).sum(2)
            total = total + contrast(o[i], t[j], negatives)
            for slot in torch.multinomial(match, POSITIVES, replacement=True).T:
                total = total + ALPHA / POSITIVES * contrast(o[i], self.queue[j][slot], negatives)
        return total / len(pairs)

    def __call__(self):
        with autocast(self.dtype):
            o = [F.normalize(self.predict(self.online(x)).float(), dim=1) for x in self.views]
            with torch.no_grad():
                t = [F.normalize(self.target(x).float(), dim=1) for x in self.views[: self.large]]
        loss = self.loss(o, t)
        for p in self.params:
            p.grad = None
        loss.backward()
        self.optimiser.step()
        with torch.no_grad():
            target = list(self.target.parameters())
            torch._foreach_mul_(target, EMA)
            torch._foreach_add_(target, list(self.online.parameters()), alpha=1 - EMA)


def resnet18():
    return resnet([2, 2, 2, 2], False, True)


def resnet50():
    return resnet([3, 4, 6, 3], True, False)


WORK = [  # name, encoder, its features, hidden, dim, batch, large and small crops, their sides
    ("train ResNet-18, 2 crops", resnet18, 512, 512, 128, 128, 2, 0, (32, 16)),
    ("train ResNet-18, 4 large and 2 small crops", resnet18, 512, 512, 128, 128, 4, 2, (32, 16)),
    ("train ResNet-50, 2 crops", resnet50, 2048, 4096, 256, 16, 2, 0, (224, 96)),
]

torch.manual_seed(0)
for work, *_ in WORK:
    expect(work, LABEL)
for work, *shape in WORK:
    for name, dtype, layout in MODES:
        step = Step(dtype, layout, *shape)
        report(work, f"{LABEL} {name}", step.batch / seconds(step, 1))
