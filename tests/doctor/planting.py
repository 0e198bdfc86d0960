"""Healthy models with one planted defect: a site whose first phase gains differently from the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.doctor.gallery import Exhibit
from upsample_lab.doctor import Site, find_sites
from upsample_lab.doctor.kernels import balanced, balanced_shuffle

GAIN = 1.5
"""Of the first phase of what has no kernel."""

_OWN_WEIGHTS = {":conv_transpose2d#1": ".weight"}  # of a kernel that a forward computes from a parameter of this name
_FUNCTIONS = {"resize": "interpolate", "unpool": "max_unpool2d"}


def healthy(exhibit: Exhibit) -> nn.Module:
    """The exhibit with the weights of a seed, and every kernel balanced."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = exhibit.make()
    for site in find_sites(model, exhibit.inputs()):
        weight, bias = kernel_of(model, site)
        with torch.no_grad():
            if weight is not None and site.kind == "deconv":
                weight.copy_(balanced(weight.flatten(0, -4), (2, 2)).view_as(weight))
            elif weight is not None:
                even = balanced_shuffle(weight, bias, int(site.scale[0]))
                weight.copy_(even[0])
                if bias is not None and even[1] is not None:
                    bias.copy_(even[1])
    return model


def kernel_of(model: nn.Module, site: Site) -> tuple[Tensor | None, Tensor | None]:
    """The parameters of a site's kernel and bias, where it has them."""
    parameters = dict(model.named_parameters())
    name = site.weight
    for suffix, own in _OWN_WEIGHTS.items():
        if site.path.endswith(suffix):
            name = site.path.removesuffix(suffix) + own
    return parameters.get(name), parameters.get(name.removesuffix("weight") + "bias")


@contextmanager
def planted(model: nn.Module, site: Site) -> Iterator[None]:
    """The first phase of a site's kernel is heavier by one deviation of its weights, or of its output by `GAIN`."""
    weight, _ = kernel_of(model, site)
    if weight is None:
        with _Biased(site):
            yield
        return
    with torch.no_grad():
        if site.kind == "deconv":
            weight[..., ::2, ::2] += weight.std()
        else:
            weight[:: int(site.scale[0] ** 2)] += weight.std()
    yield


class _Biased(TorchFunctionMode):
    """Multiplies the first phase of what one function call gives."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func.__name__ == _FUNCTIONS[self.site.kind] and tuple(output.shape[-2:]) == self.site.out_size:
            output = output.clone()
            if output.shape[-3] == self.site.out_channels:
                output[..., ::2, ::2] *= GAIN
        return output
