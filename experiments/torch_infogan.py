"""The same InfoGAN step in PyTorch, for timing side by side.

The tutorial's convolutional network (`presets.TUTORIAL`) at any width, with the same
passes: G twice, on fresh noise; D on real and on fake images; G's update through D and
Q. Weights that an update does not change get no gradient, as a careful user writes it.
Adam and the layout of images are PyTorch's defaults, or its faster ones: `tuned`.
"""

import functools
import itertools
import json
import math
import os
import pathlib
import tempfile

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils import flop_counter

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # Its profiler speaks of itself.


def _down(n_in, n_out, bias):
    return nn.Conv2d(n_in, n_out, 4, 2, 1, bias=bias)


def _up(n_in, n_out, bias):
    return nn.ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=bias)


class InfoGan:
    """Networks, optimizers and one step on uint8 images [N, 28, 28, 1].

    Args:
      images: the training images.
      batch: images per step.
      width, dense: as in `networks.Dcgan`.
      bfloat16: forward passes under autocast; weights and Adam stay float32.
      device: "cpu" or "cuda".
      tuned: Adam in one pass over each array, and channels last.
    """

    def __init__(self, images, batch, width, dense, bfloat16, device, tuned):
        self.batch, self.bfloat16, self.device = batch, bfloat16, device
        # Bytes of a GPU that others have taken.
        self.others = torch.cuda.memory_allocated() if device == "cuda" else 0
        self.images = torch.from_numpy(np.array(images)).to(device)
        # As XLA does without being asked: TF32 products, and the fastest algorithms.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        leak = nn.LeakyReLU(0.1)
        flat = 7 * 7 * 2 * width
        self.g = nn.Sequential(
            nn.Linear(74, dense, bias=False), nn.BatchNorm1d(dense), nn.ReLU(),
            nn.Linear(dense, flat, bias=False), nn.BatchNorm1d(flat), nn.ReLU(),
            nn.Unflatten(1, (2 * width, 7, 7)),
            _up(2 * width, width, False), nn.BatchNorm2d(width), nn.ReLU(),
            _up(width, 1, True), nn.Tanh(),
        ).to(device)  # fmt: skip
        self.trunk = nn.Sequential(
            _down(1, width, True), leak,
            _down(width, 2 * width, False), nn.BatchNorm2d(2 * width), leak,
            nn.Flatten(),
            nn.Linear(flat, dense, bias=False), nn.BatchNorm1d(dense), leak,
        ).to(device)  # fmt: skip
        self.d = nn.Linear(dense, 1).to(device)
        self.q = nn.Sequential(
            nn.Linear(dense, 128, bias=False), nn.BatchNorm1d(128), leak,
            nn.Linear(128, 12),
        ).to(device)  # fmt: skip
        if tuned:
            self.g.to(memory_format=torch.channels_last)
            self.trunk.to(memory_format=torch.channels_last)
        self.of_d = [*self.trunk.parameters(), *self.d.parameters()]
        self.of_g = [*self.g.parameters(), *self.q.parameters()]
        adam = functools.partial(
            torch.optim.Adam, betas=(0.5, 0.999), fused=tuned or None
        )
        self.adam_d, self.adam_g = adam(self.of_d, 2e-4), adam(self.of_g, 1e-3)

    def latents(self):
        """Noise and codes [batch, 74], the category and the continuous codes."""
        z = torch.rand(self.batch, 62, device=self.device) * 2 - 1
        k = torch.randint(10, (self.batch,), device=self.device)
        c = torch.rand(self.batch, 2, device=self.device) * 2 - 1
        return torch.cat([z, F.one_hot(k, 10).float(), c], 1), k, c

    def losses_of_d(self):
        """-V(D, G)."""
        rows = torch.randint(len(self.images), (self.batch,), device=self.device)
        real = self.images[rows].permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            fake = self.g(self.latents()[0])
        on_real, on_fake = self.d(self.trunk(real)), self.d(self.trunk(fake))
        return (F.softplus(-on_real) + F.softplus(on_fake)).mean()

    def losses_of_g(self):
        """To fool D, minus L_I."""
        latents, k, c = self.latents()
        features = self.trunk(self.g(latents))
        q = self.q(features)
        squares = ((q[:, 10:].float() - c) ** 2).sum(1).mean() / 2 + math.log(
            2 * math.pi
        )
        information = F.cross_entropy(q[:, :10], k) + squares
        return F.softplus(-self.d(features)).mean() + information

    def step(self):
        """One D update and one G+Q update."""
        learning = ((self.adam_d, self.losses_of_d), (self.adam_g, self.losses_of_g))
        for optimizer, losses in learning:
            for parameter in self.of_d:
                parameter.requires_grad_(optimizer is self.adam_d)
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
                loss = losses()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def gflop(self):
        """Of one step, not compiled yet: its products and convolutions alone."""
        with flop_counter.FlopCounterMode(display=False) as counter:
            self.step()
        return counter.get_total_flops() / 1e9

    def peak_mb(self):
        """Images, weights, Adam's means and what two more steps have at once.

        As PyTorch's allocator sees it; what libraries take for themselves is missing.
        """
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.step()
            self.step()
            self.wait()
            return (torch.cuda.max_memory_allocated() - self.others) / 1e6
        self.step()  # Adam's means are there from now on.
        for parameter in (*self.of_d, *self.of_g):
            parameter.grad = None
        optimizers = (self.adam_d, self.adam_g)
        moments = [x for adam in optimizers for x in adam.state.values()]
        kept = [self.images, *(x for state in moments for x in state.values())]
        for net in (self.g, self.trunk, self.d, self.q):
            kept += [*net.parameters(), *net.buffers()]
        with torch.profiler.profile(profile_memory=True) as profiler:
            self.step()
            self.step()  # Which begins with the gradients of the one before.
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder, "trace.json")
            profiler.export_chrome_trace(str(trace))
            events = json.loads(trace.read_text())["traceEvents"]
        changes = [x["args"]["Bytes"] for x in events if x.get("name") == "[memory]"]
        return (sum(x.nbytes for x in kept) + max(itertools.accumulate(changes))) / 1e6

    def compile(self):
        """The networks through `torch.compile`."""
        self.g, self.trunk = torch.compile(self.g), torch.compile(self.trunk)
        return self

    def make_capturable(self):
        """Lets Adam count its steps on the device, those that were taken too."""
        for optimizer in (self.adam_d, self.adam_g):
            for group in optimizer.param_groups:
                group["capturable"] = True
            for state in optimizer.state.values():
                state["step"] = state["step"].to(self.device)

    def graph(self):
        """Whole steps replayed as one CUDA graph; on a GPU only."""
        self.make_capturable()
        aside = torch.cuda.Stream()  # Warming up, as the capture asks.
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(aside)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            self.step()
        self.step = captured.replay
        return self

    def wait(self):
        """Until everything that was dispatched is done."""
        if self.device == "cuda":
            torch.cuda.synchronize()
