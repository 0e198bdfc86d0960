"""The fully connected autoencoder: what a convolution saves is seen by doing without it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from upsample_lab.cost import LayerCost
from upsample_lab.models.base import Autoencoder
from upsample_lab.models.layers import make_activation
from upsample_lab.models.seeding import seeded


class FullyConnectedAutoencoder(Autoencoder):
    """`C·H·W -> hidden… -> latent -> …hidden -> C·H·W`, with the latent of the convolutional model.

    One layer from n to m pixels has n·m weights, where a convolution has C_in·C_out·k² whatever the image size.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        latent_shape: tuple[int, int, int],
        *,
        hidden: Sequence[int],
        activation: str,
        output: str,
        seed: int,
    ) -> None:
        super().__init__(output)
        self.image_shape, self.latent_shape = image_shape, latent_shape
        sizes = [math.prod(image_shape), *hidden, math.prod(latent_shape)]
        self.encoder = self._layers(sizes, activation, seed, "encoder")
        self.decoder = self._layers(sizes[::-1], activation, seed, "decoder")

    @staticmethod
    def _layers(sizes: Sequence[int], activation: str, seed: int, part: str) -> nn.Sequential:
        layers: list[nn.Module] = []
        for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            with seeded(seed, f"mlp {part} {index}"):
                layers += [nn.Linear(n_in, n_out), make_activation(activation)]
        return nn.Sequential(*layers[:-1])

    def raw(self, images: Tensor) -> Tensor:
        return self.decode_raw(self.encoder(images.flatten(1)).view(-1, *self.latent_shape))

    def decode_raw(self, latent: Tensor) -> Tensor:
        output: Tensor = self.decoder(latent.flatten(1)).view(-1, *self.image_shape)
        return output

    def layer_costs(self, image_shape: tuple[int, int, int]) -> list[LayerCost]:
        linear = [(name, module) for name, module in self.named_modules() if isinstance(module, nn.Linear)]
        return [
            LayerCost(name, layer.weight.numel(), layer.in_features, layer.out_features, normalised=False)
            for name, layer in linear
        ]
