"""One training step again, in float64, by PyTorch and from the text of the method alone, whose sections
semppl-method(7) has: every number that semppl-train-step says it computed, and every tensor of the checkpoint it left.

    step.py NAME BEFORE.h5 DUMP.h5 AFTER.h5

BEFORE and AFTER are the checkpoints around the step. Draws are taken from the dump, and checked to be allowed ones.
Numbers agree if their difference, as the norm of a tensor, is below 1e-4 of it; indices and labels are equal.
"""
import sys

import numpy as np
import optimiser
import torch
from files import Checkpoint, Dump
from network import Network, unit
from objective import Losses, count, pairs, push, similarities
from table import Table

EPS = 2.0**-24  # relative rounding of a float32
NEAR = 1e-5  # similarities that float32 may order the other way


def kind(name, x):
    """What a parameter is, for the table."""
    part = name.split("/")[0]
    return part if part != "encoder" else "encoder's weights" if x.ndim > 1 else "encoder's batch norms"


def idle(name):
    """A bias in front of a batch norm: its gradient is 0, and what float32 finds is rounding."""
    return name.endswith("/0.bias")


class Step:
    def __init__(self, name, before, dump, after):
        self.before, self.dump, self.after = Checkpoint(before), Dump(dump), Checkpoint(after)
        self.set, self.table = self.after.settings, Table(name)
        self.k = int(self.before["counters/step"])
        self.large = self.set["large_crops"]
        self.views = self.large + self.set["small_crops"]

    # -- forward ----

    def network(self, which, trained):
        tensors = {
            name: torch.tensor(x, dtype=torch.float64, requires_grad=trained and x.ndim > 0 and "running" not in name)
            for name, x in self.before.below(which).items()
        }
        return Network(self.set, tensors)

    def view(self, v, what):
        return self.dump[f"view/{v}/{what}"]

    def forward(self):
        """Unit predictions o and projections t, and the running statistics that the views leave: 9.5 for those who
        go through the networks in parts."""
        self.online, target = self.network("online", True), self.network("target", False)
        self.o, self.t, self.running = [], [], {"online": {}, "target": {}}
        self.updates = {"online": int(self.before["counters/updates"]),
                        "target": int(self.before["counters/updates_target"])}
        for v in range(self.views):
            x = torch.tensor(self.view(v, "input"), dtype=torch.float64).permute(0, 3, 1, 2)
            parts = x.split(self.set["micro_batch"] or len(x))
            self.o.append(torch.cat([self.predict(part, v) for part in parts]))
            self.table.near("predictions", f"view {v}", self.view(v, "prediction"), self.o[v].detach())
            if v < self.large:
                self.t.append(torch.cat([self.project(target, part) for part in parts]))
                self.table.near("target projections", f"view {v}", self.view(v, "projection"), self.t[v])

    def predict(self, x, v):
        z = self.online.head(self.online.encoder(x), "projector")
        o = unit(self.online.head(z, "predictor"))
        if v < self.large:
            self.follow("online", self.online.seen)
        return o

    @torch.no_grad()
    def project(self, target, x):
        t = unit(target.head(target.encoder(x), "projector"))
        self.follow("target", target.seen)
        return t

    def follow(self, which, seen):
        """The running statistics after one more pass."""
        for norm, values in seen.items():
            for stat, value in zip(("running_mean", "running_var"), values):
                name = f"{norm}.{stat}"
                old = self.running[which].get(name, self.before[f"{which}/{name}"].astype(np.float64))
                self.running[which][name] = optimiser.running(self.set, old, self.updates[which], value.numpy())
        self.updates[which] += 1

    # -- queue, votes, draws ----

    def queue_before(self):
        vectors, labels, ids = (self.before[f"queue/{x}"].copy() for x in ("vectors", "labels", "ids"))
        return vectors.astype(np.float64), labels, ids, int(self.before["queue/head"]), int(self.before["queue/fill"])

    def enqueue(self):
        t = np.stack([t.numpy() for t in self.t])
        self.queue = push(self.queue_before(), t, self.dump["batch/given"], self.dump["batch/id"], self.set["queue"])
        vectors, labels, slot_ids, head, fill = self.queue
        self.table.near("queue: vectors", "", self.after["queue/vectors"], vectors)
        for name, x in (("labels", labels), ("ids", slot_ids), ("head", head), ("fill", fill)):
            self.table.equal("queue: labels, ids, head, fill", name, self.after[f"queue/{name}"], x)

    def ballot(self, s, slot_label, theirs, similarity):
        """Of one pair, what votes: labels and similarities [rows][votes], from all similarities s [rows][slots]. Draws
        are the dump's, and so is the order of slots that float32 may tell the other way, if there are such slots."""
        slots = np.argsort(-s, axis=1, kind="stable")[:, : self.set["neighbours"]]
        sims = np.take_along_axis(s, slots, 1)
        labels = np.where(np.isfinite(sims), slot_label[slots], -1)
        there = (np.abs(s[:, :, None] - similarity[:, None]) < NEAR) & (slot_label[:, None] == theirs[:, None])
        if self.set["vote_rule"] == "draw":
            near = similarity > sims[:, -1:] - NEAR
            drawn = np.abs(sims - similarity).argmin(1)[:, None]
            labels, sims = np.take_along_axis(labels, drawn, 1), np.take_along_axis(sims, drawn, 1)
        else:
            near = np.abs(sims - similarity) < NEAR
        return np.where(near & there.any(1), theirs, labels), sims

    def ballots(self, rows):
        """Labels and similarities of the batch's last rows [rows][votes]."""
        queue = self.queue if self.set["enqueue"] == "before" else self.queue_before()
        vectors, slot_label, slot_id, _, fill = queue
        slot_id = slot_id[:fill] if self.set["exclude_self"] == "yes" else None
        queries = self.o if self.set["vote_query"] == "prediction" else self.t
        each = 1 if self.set["vote_rule"] == "draw" else self.set["neighbours"]
        found = []
        for at, (i, j) in enumerate(pairs(self.set)):
            query, ids = queries[j].detach().numpy()[-rows:], self.dump["batch/id"][-rows:]
            s = similarities(query, ids, vectors[i, :fill], slot_id)
            theirs = (self.dump[f"vote/{x}"][:, at * each : (at + 1) * each] for x in ("label", "similarity"))
            found.append(self.ballot(s, slot_label[:fill], *theirs))
        return (np.concatenate(x, 1) for x in zip(*found))

    def vote(self):
        given, rows = self.dump["batch/given"], 0
        voted = np.full(len(given), -1)
        if "vote/label" in self.dump.tensors:
            rows = len(self.dump["vote/label"])
            labels, sims = self.ballots(rows)
            self.table.equal("votes: ballots", "", self.dump["vote/label"], labels)
            there = labels >= 0
            self.table.near("votes: similarities", "", self.dump["vote/similarity"][there], sims[there])
            for b, ballot in enumerate(zip(labels, sims), len(given) - rows):
                label, share = count(*ballot, self.set["tie_break"] == "similarity")
                voted[b] = label if share >= self.set["vote_threshold"] else -1
        pseudo = {"votes": voted, "none": np.full(len(given), -1), "oracle": self.dump["batch/truth"]}
        pseudo = pseudo[self.set["pseudo_labels"]] if self.k >= self.set["vote_start"] else pseudo["none"]
        self.table.equal("labels of the batch", "", self.dump["batch/label"], np.where(given >= 0, given, pseudo))

    def shared(self, x):
        """8.2, 8.5: how much of what pairs (i, j) and (j, i) of large views share in S differs."""
        large = x[: self.large]
        return (large != large.transpose(1, 0, 2, 3)).sum() if self.set["invariance"] == "S" else 0

    def draws(self):
        """8.2 and 7: what may be drawn, not what must be."""
        negatives, slots, label = self.dump["loss/negatives"], self.dump["loss/positives"], self.dump["batch/label"]
        may = ~np.eye(len(label), dtype=bool)
        if self.set["exclude_class"] == "yes":
            may &= (label[:, None] != label) | (label[:, None] < 0)
        there, b = negatives >= 0, np.arange(len(label))[:, None]
        bad = self.shared(negatives) + (there & ~may[b, negatives]).sum()
        bad += (there.sum(3) != np.minimum(self.set["negatives"], may.sum(1))).sum()
        bad += ((np.diff(np.sort(negatives, 3), axis=3) == 0) & (np.sort(negatives, 3)[..., 1:] >= 0)).sum()
        self.table.within("negatives: allowed", "", bad, 0, "are not")
        _, slot_label, _, _, fill = self.queue
        there = np.isin(label, slot_label[:fill]) & (label >= 0)
        bad = self.shared(slots) + ((slots >= 0) != there).sum() + (slots >= fill).sum()
        bad += (np.where(slots >= 0, slot_label[slots], label) != label).sum()
        self.table.within("semantic positives: allowed", "", bad, 0, "are not")

    # -- losses, gradient, update ----

    def losses(self):
        negatives, slots = (torch.tensor(self.dump[f"loss/{x}"].astype(np.int64)) for x in ("negatives", "positives"))
        loss = Losses(self.set, self.o, self.t, torch.tensor(self.queue[0]), negatives, slots)
        for v in range(self.views):
            for j in range(self.large):
                pair = f"pair {v}, {j}"
                self.table.near("losses: contrast", pair, self.dump["loss/contrast"][v, j], loss.terms[v, j])
                self.table.near("losses: divergence", pair, self.dump["loss/divergence"][v, j], loss.kl[v, j])
        for name, value in (("_augm", loss.augm), ("_sempos", loss.sempos), ("_inv", loss.inv), ("", loss.total)):
            said = self.dump.settings[f"loss{name}"]
            if not np.isnan(said):
                self.table.near("losses: totals", f"loss{name}", said, value.detach())
        loss.total.backward()

    def gradient(self):
        exact = {name: w.grad.numpy() for name, w in self.online.w.items() if w.requires_grad}
        ours = self.dump.below("gradient")
        self.table.equal("gradient: names", "", sorted(ours), sorted(exact))
        for name, g in exact.items():
            # what is 0 but for rounding is measured by the weights beside it
            scale = np.linalg.norm(exact[name.replace(".bias", ".weight")]) if idle(name) else None
            self.table.near(f"gradient: {kind(name, g)}", name, ours[name], g, scale)

    def update(self):
        """From the gradient of the dump, which gradient() has judged."""
        rows = int(self.after["counters/data_rows"])
        lr, gamma = optimiser.rate(self.set, self.k, rows), optimiser.ema(self.set, self.k, rows)
        self.table.near("schedules", "lr", self.dump.settings["lr"], lr)
        self.table.near("schedules", "ema", self.dump.settings["ema"], gamma)
        for name, g in self.dump.below("gradient").items():
            w, v = (self.before[f"{which}/{name}"].astype(np.float64) for which in ("online", "momentum"))
            g = g.astype(np.float64)
            if self.set["optimizer"] == "adamw":
                s = self.before[f"second/{name}"].astype(np.float64)
                new_w, new_v, new_s = optimiser.adamw(self.set, w, v, s, g, lr, self.k + 1)
                self.table.near(f"second moment: {kind(name, g)}", name, self.after[f"second/{name}"], new_s)
            else:
                new_w, new_v = optimiser.lars(self.set, w, v, g, lr)
            self.table.near(f"momentum: {kind(name, g)}", name, self.after[f"momentum/{name}"], new_v)
            self.change("parameters", "online", name, w, new_w)
            if f"target/{name}" in self.before.tensors:
                xi = self.before[f"target/{name}"].astype(np.float64)
                self.change("target", "target", name, xi, xi + (1 - gamma) * (new_w - xi))

    def change(self, group, which, name, old, new):
        """The change of a tensor, which is small beside it: float32 rounds it by as much as it rounds the tensor."""
        got = self.after[f"{which}/{name}"].astype(np.float64)
        slack = EPS * np.linalg.norm(new)
        self.table.near(f"{group}: change of {kind(name, new)}", name, got - old, new - old, slack=slack)

    def statistics(self):
        for which, stats in self.running.items():
            for name, want in stats.items():
                self.table.near(f"running statistics: {which}", name, self.after[f"{which}/{name}"], want)
        counters = {"updates": self.updates["online"], "updates_target": self.updates["target"], "step": self.k + 1}
        for name, want in counters.items():
            self.table.equal("counters", name, self.after[f"counters/{name}"], want)

    def run(self):
        self.forward()
        self.enqueue()
        self.vote()
        self.draws()
        self.losses()
        self.gradient()
        self.update()
        self.statistics()
        return self.table.print()


torch.set_default_dtype(torch.float64)
sys.exit(not Step(*sys.argv[1:]).run())
