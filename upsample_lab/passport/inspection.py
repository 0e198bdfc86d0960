"""Looking inside: the known layers that a module really calls, in order, whether as modules or as functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from upsample_lab.cost import DispatchMode
from upsample_lab.passport.probe import Probe
from upsample_lab.passport.watching import hookable_parts, strided_tensors

aten = torch.ops.aten

_BLUR_TOLERANCE = 1e-3  # a blur's weights are not negative and sum to 1


@dataclass(frozen=True)
class TransposedLayer:
    """A transposed convolution; pairs are (vertical, horizontal)."""

    where: str
    kernel_size: tuple[int, int]
    stride: tuple[int, int]

    @property
    def divides(self) -> bool:
        return all(k % s == 0 for k, s in zip(self.kernel_size, self.stride, strict=True))


@dataclass(frozen=True)
class ResizeLayer:
    where: str
    align_corners: bool


@dataclass(frozen=True)
class BlurLayer:
    """A fixed smoothing filter of stride 1: an average pool, or a depthwise convolution whose weights sum to 1."""

    where: str
    zero_padded: bool


@dataclass(frozen=True)
class UnevenPad:
    """Padding that adds more on one side than on the other: `(left, right, top, bottom)`."""

    where: str
    padding: tuple[int, int, int, int]


@dataclass(frozen=True)
class ShuffleLayer:
    """A rearrangement of channels into space, and the convolution before it: which of its parts phases share."""

    where: str
    conv: str
    tied_weight: bool
    tied_bias: bool


KnownLayer = TransposedLayer | ResizeLayer | BlurLayer | UnevenPad | ShuffleLayer


def inspect_layers(probe: Probe) -> tuple[KnownLayer, ...]:
    """The layers that one forward pass goes through."""
    image = torch.ones(1, probe.in_channels, probe.size, probe.size, dtype=probe.dtype, device=probe.device)
    watcher = _LayerWatcher()
    with torch.no_grad(), _hooked(probe.module, watcher), watcher:
        probe.raw(image)
    for name, part in probe.module.named_modules():
        # A parent may compute with a child's weights itself, for instance after changing them. What nobody reads is
        # registered, and no part of what is computed.
        if isinstance(part, nn.ConvTranspose2d) and name not in watcher.entered and watcher.has_read(part.parameters()):
            watcher.replace_function(TransposedLayer(name, _pair(part.kernel_size), _pair(part.stride)))
    return tuple(dict.fromkeys(watcher.layers))


class _LayerWatcher(DispatchMode):
    """Notes modules by their type as they are entered, and functions as they are dispatched.

    A function that runs inside a module already noted for it is not noted again: `inside` is the path of modules, and
    convolutions that compute with matrix products are known by their module only.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[KnownLayer] = []
        self.inside: list[tuple[str, nn.Module]] = []
        self.entered: set[str] = set()
        self.read: set[int] = set()  # memory that an operation read
        self.last_conv: tuple[str, Tensor, Tensor | None] | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.read.update(tensor.untyped_storage().data_ptr() for tensor in strided_tensors((args, kwargs)))
        note = _FUNCTIONS.get(func.overloadpacket)
        known = self.inside and isinstance(self.inside[-1][1], nn.Conv2d | nn.ConvTranspose2d)
        if note is not None and not known:
            layer = note(self, args)
            self.layers += [layer] if layer is not None else []
        return func(*args, **(kwargs or {}))

    @property
    def where(self) -> str:
        return self.inside[-1][0] if self.inside else ""

    def enter(self, name: str, module: nn.Module) -> None:
        self.inside.append((name, module))
        self.entered.add(name)
        if isinstance(module, nn.ConvTranspose2d):
            self.layers.append(TransposedLayer(name, _pair(module.kernel_size), _pair(module.stride)))
        elif isinstance(module, nn.Conv2d):
            self._enter_convolution(name, module)

    def has_read(self, tensors: Iterable[Tensor]) -> bool:
        return any(tensor.untyped_storage().data_ptr() in self.read for tensor in strided_tensors(list(tensors)))

    def replace_function(self, layer: TransposedLayer) -> None:
        """Put a layer in the place of the function call of the same shape that it stands for, or at the end."""
        same = [i for i, seen in enumerate(self.layers) if seen == replace(layer, where=_parent(layer.where))]
        at = same[0] if same else len(self.layers)
        self.layers[at : at + 1] = [layer]

    def _enter_convolution(self, name: str, module: nn.Conv2d) -> None:
        self.last_conv = (name, module.weight, module.bias)
        padded = module.padding_mode == "zeros" and _any_padding(module.padding)
        if is_blur(module.weight, module.groups) and module.stride == (1, 1):
            self.layers.append(BlurLayer(name, padded))


def is_blur(weight: Tensor, groups: int) -> bool:
    """Whether a convolution's weight `[C, 1, k, k]` is a smoothing filter for each channel alone."""
    if groups != weight.shape[0] or weight.shape[1] != 1 or weight[0].numel() == 1:
        return False
    sums = weight.detach().flatten(1).sum(dim=1)
    return bool((weight >= 0).all()) and bool(((sums - 1).abs() < _BLUR_TOLERANCE).all())


def _convolution(watcher: _LayerWatcher, args: Any) -> KnownLayer | None:
    """aten.convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)"""
    weight, stride = args[1], _pair(args[3])
    if args[6]:
        return TransposedLayer(watcher.where, _pair(weight.shape[-2:]), stride)
    watcher.last_conv = (watcher.where, weight, args[2])
    return BlurLayer(watcher.where, _any_padding(args[4])) if is_blur(weight, args[8]) and stride == (1, 1) else None


def _average_pool(watcher: _LayerWatcher, args: Any) -> KnownLayer | None:
    """aten.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)"""
    arguments = [*args, *([None] * 6)]
    kernel, stride, padding, counts_padding = arguments[1], arguments[2], arguments[3], arguments[5]
    if _pair(stride or kernel) != (1, 1):
        return None
    # The schema's default of count_include_pad is True.
    return BlurLayer(watcher.where, bool(padding) and _any_padding(padding) and counts_padding is not False)


def _resize(watcher: _LayerWatcher, args: Any) -> KnownLayer:
    """aten.upsample_bilinear2d(input, output_size, align_corners, ...)"""
    return ResizeLayer(watcher.where, bool(args[2]))


def _pad(watcher: _LayerWatcher, args: Any) -> KnownLayer | None:
    """aten.replication_pad2d(input, (left, right, top, bottom)); others likewise"""
    padding = (*args[1], 0, 0, 0, 0)
    left, right, top, bottom = padding[:4]
    return UnevenPad(watcher.where, (left, right, top, bottom)) if left != right or top != bottom else None


def _shuffle(watcher: _LayerWatcher, args: Any) -> KnownLayer:
    """aten.pixel_shuffle(input, factor): channel `c·factor² + phase` becomes the phase of channel `c`"""
    phases = int(args[1]) ** 2
    if watcher.last_conv is None or watcher.last_conv[1].shape[0] % phases:
        return ShuffleLayer(watcher.where, "", False, True)
    name, weight, bias = watcher.last_conv
    return ShuffleLayer(watcher.where, name, _tied(weight, phases), bias is None or _tied(bias, phases))


def _tied(values: Tensor, phases: int) -> bool:
    """Whether the phases of each output channel have the same values."""
    grouped = values.detach().unflatten(0, (-1, phases))
    return bool(((grouped - grouped[:, :1]).abs() <= 1e-6 * grouped.abs().max()).all())


_FUNCTIONS: dict[Any, Any] = {
    aten.convolution: _convolution,
    aten.avg_pool2d: _average_pool,
    aten.upsample_bilinear2d: _resize,
    aten.upsample_bicubic2d: _resize,
    aten.replication_pad2d: _pad,
    aten.reflection_pad2d: _pad,
    aten.constant_pad_nd: _pad,
    aten.pixel_shuffle: _shuffle,
}


@contextmanager
def _hooked(module: nn.Module, watcher: _LayerWatcher) -> Iterator[None]:
    handles = []
    for name, part in hookable_parts(module):
        handles.append(part.register_forward_pre_hook(lambda m, _, name=name: watcher.enter(name, m)))
        handles.append(part.register_forward_hook(lambda *_: _leave(watcher)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _leave(watcher: _LayerWatcher) -> None:
    watcher.inside.pop()


def _pair(value: Any) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, list | tuple | torch.Size) else (value, value)
    return (int(values[0]), int(values[-1]))


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _any_padding(padding: Any) -> bool:
    """`padding` of a convolution: numbers, or "same", which pads any kernel above 1, or "valid"."""
    return padding == "same" if isinstance(padding, str) else any(_pair(padding))
