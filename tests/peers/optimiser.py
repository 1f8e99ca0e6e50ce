"""Schedules, optimisers and the target's moving average: method 9, and the running statistics of 2.6."""
import math

import numpy as np


def steps(settings, rows):
    """9.2: of warm-up, and in all."""
    total = settings["steps"] or math.floor(settings["epochs"] * rows / settings["batch"])
    return math.floor(settings["warmup"] * rows / settings["batch"]), total


def rate(settings, k, rows):
    warm, total = steps(settings, rows)
    scaled = settings["base_lr"] * settings["batch"] / 256
    if k < warm:
        return scaled * k / warm
    if settings["lr_schedule"] == "constant":
        return scaled
    return scaled * 0.5 * (1 + math.cos(math.pi * min(k - warm, total - warm) / (total - warm)))


def ema(settings, k, rows):
    """9.4."""
    if settings["ema_schedule"] == "constant":
        return settings["base_ema"]
    _, total = steps(settings, rows)
    return 1 - (1 - settings["base_ema"]) * 0.5 * (1 + math.cos(math.pi * k / total))


def excluded(w):
    """9.1: biases and batch norms, which are all that has one axis."""
    return w.ndim == 1


def lars(settings, w, v, g, lr):
    """9.1: w and v after the step; sgd is the same without the ratio."""
    if not excluded(w):
        g = g + settings["weight_decay"] * w
        norm_w, norm_g = np.linalg.norm(w), np.linalg.norm(g)
        if settings["optimizer"] == "lars" and norm_w > 0 and norm_g > 0:
            g = g * (settings["trust"] * norm_w / norm_g)
    v = settings["momentum"] * v + g
    return w - lr * v, v


def adamw(settings, w, v, s, g, lr, t):
    """Loshchilov and Hutter, arXiv 1711.05101: w, v and s after update t, which counts from 1."""
    beta1, beta2 = settings["momentum"], settings["beta2"]
    v, s = beta1 * v + (1 - beta1) * g, beta2 * s + (1 - beta2) * g * g
    change = v / (1 - beta1**t) / (np.sqrt(s / (1 - beta2**t)) + 1e-8)
    if not excluded(w):
        change = change + settings["weight_decay"] * w
    return w - lr * change, v, s


def running(settings, average, counter, seen):
    """2.6: a zero-debiased average of counter values after one more."""
    decay = settings["bn_decay"]
    hidden = decay * average * (1 - decay**counter) + (1 - decay) * seen
    return hidden / (1 - decay ** (counter + 1))
