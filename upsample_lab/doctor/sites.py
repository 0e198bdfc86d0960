"""Sites: the places in anybody's model where images are enlarged."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from upsample_lab.doctor.calls import Inputs, run_watched
from upsample_lab.doctor.watcher import SiteCall

KINDS = ("deconv", "pixel_shuffle", "resize", "unpool", "grid_sample", "upsampler")


@dataclass(frozen=True)
class Site:
    """One place where images are enlarged, however often a forward pass comes by.

    path          of the layer in the model; where a forward calls a function itself, the path of its module, `:`, the
                  function, `#` and its number among the calls of that function in one forward: `decoder:interpolate#2`
    kind          one of `KINDS`
    scale         enlargement per axis (vertical, horizontal): of a transposed convolution its stride
    in_channels   of the operation itself: of a pixel shuffle, those of the convolution before it times scale²
    in_size       pixels per axis at the last call, `out_size` likewise; `sizes` has those of every call
    calls         in one forward pass
    mode          of a resize or a grid sample, and the name of one of our upsamplers
    layer         class of the layer, or name of the function
    kernel_size   of the kernel that decides the phases: a transposed convolution's, or that of the convolution that a
                  pixel shuffle follows; empty where there is none
    weight        that kernel's name in the state_dict; empty where it is computed in a forward
    conv          path of the convolution whose output a pixel shuffle takes, as `path` is written
    """

    path: str
    kind: str
    scale: tuple[float, ...]
    in_channels: int
    out_channels: int
    in_size: tuple[int, ...]
    out_size: tuple[int, ...]
    calls: int = 1
    mode: str = ""
    layer: str = ""
    kernel_size: tuple[int, ...] = ()
    weight: str = ""
    conv: str = ""

    @property
    def place(self) -> str:
        """Its path in words."""
        return self.path or "the model itself"

    sizes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()

    @property
    def measured(self) -> bool:
        """Whether it enlarges images: layers of one or three dimensions are found, and not measured."""
        return len(self.scale) == 2


def find_sites(model: nn.Module, inputs: Inputs) -> tuple[Site, ...]:
    """The sites that one forward pass goes through, in the order of their first calls; none where nothing enlarges.

    Args:
        model: any module; it runs once in evaluation mode, without gradients, and is left as it was.
        inputs: a tensor, a tuple of the arguments, or a dict of keyword arguments.

    Raises ConfigError, a ValueError, where the model cannot take the inputs; its own error is the cause.
    """
    sites = SiteList(model)
    run_watched(model, inputs, sites.add)
    return sites.found


class SiteList:
    """Gathers sites from the calls of one forward pass."""

    def __init__(self, model: nn.Module) -> None:
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._calls: dict[str, list[Site]] = {}

    def add(self, call: SiteCall) -> None:
        kernel = call.kernel
        site = Site(
            call.path,
            call.kind,
            call.scale,
            _channels(call),
            call.output.shape[-len(call.scale) - 1],
            call.in_size,
            call.out_size,
            mode=call.mode,
            layer=call.layer,
            kernel_size=() if kernel is None else tuple(kernel.weight.shape[2:]),
            weight="" if kernel is None else self._names.get(id(kernel.weight), ""),
            conv=call.conv,
        )
        self._calls.setdefault(call.path, []).append(site)

    @property
    def found(self) -> tuple[Site, ...]:
        return tuple(
            Site(**{**vars(own[-1]), "calls": len(own), "sizes": tuple((s.in_size, s.out_size) for s in own)})
            for own in self._calls.values()
        )


def _channels(call: SiteCall) -> int:
    """Channels that go in; a shuffle that is written by hand takes six axes, its phases among them."""
    shape = call.input.shape
    if call.input.dim() == 6:
        return shape[1] * (shape[3] * shape[5] if call.kind == "pixel_shuffle" else 1)
    return shape[-len(call.scale) - 1]
