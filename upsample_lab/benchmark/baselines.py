"""The way a tutorial trains the same model, as plain scripts: torch.nn's layers, torch.optim's Adam, float32, NCHW.

Nothing here comes from the package but numbers of the configuration and the order of the channels, so that it is what
somebody would write who does not know the package. The loops differ in where their batches come from alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from upsample_lab.benchmark.loader import PerSampleDataset
from upsample_lab.config import TrainConfig
from upsample_lab.options.model import decoder_widths

UPSAMPLERS = ("deconv", "nearest", "bilinear")
"""The upsamplers that torch.nn has layers for."""


def upsampling(name: str, in_channels: int, out_channels: int) -> list[nn.Module]:
    """Twice the size, as tutorials write it."""
    if name == "deconv":
        return [nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)]
    return [nn.Upsample(scale_factor=2, mode=name), nn.Conv2d(in_channels, out_channels, 3, padding=1)]


def autoencoder(config: TrainConfig, channels: int) -> nn.Sequential:
    """`[N, C, H, W] -> [N, C, H, W]` in 0…1: the model of `configs/model/small.yaml`, layer for layer.

    Its parameters come in the order of the package's model, so that weights can be handed over one by one.
    """
    widths, latent = config.model.widths, config.model.latent_channels
    layers: list[nn.Module] = []
    for c_in, c_out in pairwise([channels, *widths]):
        layers += [nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
    layers += [nn.Conv2d(widths[-1], latent, 1)]
    layers += [nn.Conv2d(latent, widths[-1], 1, bias=False), nn.BatchNorm2d(widths[-1]), nn.ReLU()]
    for c_in, c_out in pairwise(decoder_widths(widths)):
        layers += [*upsampling(config.upsample.name, c_in, c_out), nn.BatchNorm2d(c_out), nn.ReLU()]
    layers += [nn.Conv2d(widths[0], channels, 3, padding=1), nn.Sigmoid()]
    return nn.Sequential(*layers)


def per_sample_batches(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """A `DataLoader` over Pillow images and torchvision's `ToTensor`, in the training's own process."""
    loader = DataLoader(PerSampleDataset(images), batch_size, shuffle=True, drop_last=True)
    while True:
        yield from loader


def tensor_batches(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """The images in memory: a permutation an epoch, and the batch's rows of it."""
    while True:
        order = torch.randperm(len(images))
        for start in range(0, len(images) - batch_size + 1, batch_size):
            yield images[order[start : start + batch_size]].float() / 255


class Loop:
    """The training loop of a tutorial; `bf16` adds the line with `autocast` that its chapter on speed has."""

    def __init__(self, config: TrainConfig, model: nn.Module, batches: Iterator[Tensor], device: str) -> None:
        self.model, self.batches, self.device = model.to(device), batches, device
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.optim.lr)
        self.bf16 = config.trainer.precision == "bf16"
        self.losses: list[float] = []

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def step(self) -> None:
        images = next(self.batches).to(self.device)
        self.optimizer.zero_grad()
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bf16):
            output = self.model(images)
            loss = F.mse_loss(output.float(), images)
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())


BATCHES: dict[str, Callable[[Tensor, int], Iterator[Tensor]]] = {
    "tutorial": per_sample_batches,
    "tutorial, raw tensors": tensor_batches,
}
"""The ways of the baselines, and where their batches come from."""


def baseline(way: str, config: TrainConfig, images: Tensor, device: str) -> Loop:
    """The loop of that way, at its first step."""
    model = autoencoder(config, images.shape[1])
    return Loop(config, model, BATCHES[way](images, config.trainer.batch_size), device)
