"""Queue, votes and losses: method 5 to 8."""
from collections import Counter

import numpy as np
import torch


def push(queue, t, labels, ids, capacity):
    """5: the labelled pictures of a batch into the rings, in their order. queue: vectors [L][C][d], labels, ids, head,
    fill; t [L][n][d]."""
    vectors, slot_label, slot_id, head, fill = queue
    rows = np.flatnonzero(labels >= 0)[-capacity:]
    for row in rows:
        vectors[:, head], slot_label[head], slot_id[head] = t[:, row], labels[row], ids[row]
        head, fill = (head + 1) % capacity, min(fill + 1, capacity)
    return vectors, slot_label, slot_id, head, fill


def pairs(settings):
    """6.2: (queue i, query view j) that vote."""
    large = range(settings["large_crops"])
    every = [(i, j) for i in large for j in large]
    return {"all": every, "same": [(i, i) for i in large], "one": every[:1]}[settings["vote_views"]]


def similarities(query, ids, vectors, slot_ids):
    """6.1, 6.6: of queries [n][d] to the slots of one ring; -inf for slots of the same id, if slot_ids are given."""
    s = query @ vectors.T
    return s if slot_ids is None else np.where(ids[:, None] == slot_ids[None], -np.inf, s)


def count(labels, sims, by_similarity):
    """6.2: the most frequent label and its share; of equals the larger sum of similarities, if asked for, then the
    smaller label; -1: none."""
    votes, total = Counter(), Counter()
    for label, sim in zip(labels.tolist(), sims.tolist()):
        if label >= 0:
            votes[label] += 1
            total[label] += sim if by_similarity else 0
    if not votes:
        return -1, 0
    best = max(votes, key=lambda c: (votes[c], total[c], -c))
    return best, votes[best] / votes.total()


def log_softmax(o, t, positive, negatives, tau, by_target):
    """8.3, 8.4: log-probabilities [n][1 + ne], the positive [n][d] first. negatives [n][ne], -1: none. The anchor is o,
    and the negatives are of t; or by_target the positive is the anchor, and the negatives are of o."""
    anchor, others = (positive, o) if by_target else (o, t)
    s0 = (o * positive).sum(1, keepdim=True)
    s = torch.einsum("nd,ned->ne", anchor, others[negatives.clamp(min=0)])
    s = s.masked_fill(negatives < 0, -torch.inf)
    return torch.log_softmax(torch.cat([s0, s], 1) / tau, 1)


def divergence(logp, logq):
    """8.5: KL(sg p || q)."""
    logp, there = logp.detach(), torch.isfinite(logp)
    return torch.where(there, logp.exp() * (torch.where(there, logp - logq, 0)), 0).sum(1)


class Losses:
    """8.3 to 8.6 over all pairs. o [V] of [n][d], t [L] likewise; negatives [V][L][n][ne], slots [V][L][P][n];
    vectors [L][C][d]. terms, kl [V][L][1 + P][n]: 0 where there is none."""

    def __init__(self, settings, o, t, vectors, negatives, slots):
        self.set, self.views, self.large = settings, len(o), len(t)
        self.n, self.positives = len(o[0]), slots.shape[2]
        self.o, self.t, self.vectors = o, t, vectors
        self.negatives, self.slots = negatives, slots
        by_target = settings["loss_orientation"] == "target"
        terms = [(i, j, r) for i in range(self.views) for j in range(self.large) for r in range(1 + self.positives)]
        self.logp = {term: self._log_softmax(*term, by_target) for term in terms}
        self._sum()

    def _log_softmax(self, i, j, r, by_target):
        positive, negatives = self._positive(i, j, r), self.negatives[i, j]
        return log_softmax(self.o[i], self.t[j], positive, negatives, self.set["tau"], by_target)

    def _positive(self, i, j, r):
        return self.t[j] if r == 0 else self.vectors[j][self.slots[i, j, r - 1].clamp(min=0)]

    def _anchors(self, i, j, r):
        return torch.ones(self.n, dtype=torch.bool) if r == 0 else self.slots[i, j, r - 1] >= 0

    def _mean(self, x, i, j, r):
        """Over the anchors that have a positive."""
        anchors = self._anchors(i, j, r)
        return x[anchors].mean() if anchors.any() else torch.zeros((), dtype=x.dtype)

    def _divergence(self, i, j, r, logp):
        """8.5, forms S and R: of each anchor; None where there is none."""
        if self.set["invariance"] == "S" and i < self.large and i != j:
            return divergence(logp, self.logp[j, i, r])
        if self.set["invariance"] == "R":
            return divergence(self._log_softmax(i, j, r, False), self._log_softmax(i, j, r, True))
        return None

    def _penalty(self, i, j, r, logp):
        """8.5: of one term, a mean over anchors."""
        if self.set["invariance"] == "T":
            of_its_size = i if i < self.large else i - self.large
            loss = self._mean(-logp[:, 0], i, j, r)
            return loss if of_its_size >= j else -loss.detach()
        kl = self._divergence(i, j, r, logp)
        if kl is None:
            return 0
        self.kl[i, j, r] = (kl * self._anchors(i, j, r)).detach()
        return self._mean(kl, i, j, r)

    def _sum(self):
        shape = self.views, self.large, 1 + self.positives, self.n
        self.terms, self.kl = np.zeros(shape), np.zeros(shape)
        augm = sempos = inv = torch.zeros((), dtype=torch.float64)
        for (i, j, r), logp in self.logp.items():
            loss = -logp[:, 0]
            self.terms[i, j, r] = (loss * self._anchors(i, j, r)).detach()
            share = 1 / (self.views * self.large * (1 if r == 0 else self.positives))
            mean = share * self._mean(loss, i, j, r)
            augm, sempos = (augm + mean, sempos) if r == 0 else (augm, sempos + mean)
            inv = inv + share * self._penalty(i, j, r, logp)
        self.augm, self.sempos, self.inv = augm, sempos, inv
        self.total = (
            self.set["contrast_weight"] * (augm + self.set["alpha"] * sempos) + self.set["invariance_weight"] * inv)
