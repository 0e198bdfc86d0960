"""The observer of a forward pass: which upsampling operations run, of which layer, with which arguments.

Two observers work together: hooks know which module is running, and a torch-function mode sees the functions that its
forward calls, with their arguments. So neither the model's code nor its control flow needs to be traceable: what runs
is seen.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from upsample_lab.upsamplers import Upsampler


@dataclass(frozen=True)
class PhaseKernel:
    """The weights that decide a call's phases, and the call done again with others in their place.

    form        "deconv": weight `[C_in, C_out/groups, k…]`; "shuffle": a convolution's `[C_out·s², C_in/groups, k…]`
    """

    form: str
    weight: Tensor
    bias: Tensor | None
    dilation: tuple[int, ...]
    run: Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class SiteCall:
    """One upsampling operation of a forward pass.

    path        of the layer; of a function that a forward calls, the module's path, `:`, the function and its number
    kind        deconv, pixel_shuffle, resize, unpool, grid_sample, upsampler
    scale       per axis; of a transposed convolution its stride
    mode        of a resize or a grid sample; the name of one of our upsamplers
    spatial     the axes of `input` that are space
    source      what `again` takes: the input, or, of a pixel shuffle, the input of the convolution that it follows
    again       the same operation on another source of the same shape
    kernel      None where no weights decide the phases, or they cannot be told
    conv        path of the convolution that a pixel shuffle follows
    """

    path: str
    kind: str
    scale: tuple[float, ...]
    input: Tensor
    output: Tensor
    again: Callable[[Tensor], Tensor]
    layer: str
    mode: str = ""
    spatial: tuple[int, ...] = ()
    source: Tensor | None = None
    kernel: PhaseKernel | None = None
    conv: str = ""

    @property
    def in_size(self) -> tuple[int, ...]:
        return tuple(self.input.shape[axis] for axis in self.spatial)

    @property
    def out_size(self) -> tuple[int, ...]:
        return tuple(self.output.shape[-len(self.scale) :])


Visit = Callable[[SiteCall], Tensor | None]
"""What is done with each call; a tensor takes the place of the call's output."""


# ----------------------------------------------------------------------------------------------------------------------
# The functions that upsample

_DECONV = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_UNPOOL = ("input", "indices", "kernel_size", "stride", "padding", "output_size")
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    **{f"conv_transpose{d}d": _DECONV for d in (1, 2, 3)},
    **{f"conv{d}d": _CONV for d in (1, 2, 3)},
    **{f"max_unpool{d}d": _UNPOOL for d in (1, 2, 3)},
    "interpolate": ("input", "size", "scale_factor", "mode", "align_corners"),
    "pixel_shuffle": ("input", "upscale_factor"),
    "grid_sample": ("input", "grid", "mode"),
    **dict.fromkeys(("permute", "transpose", "contiguous", "clone", "reshape", "view"), ("input",)),
}
"""Names of the positional arguments. The last row is how a pixel shuffle, or a repetition, is written by hand."""

_LAYERS: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str], ...] = (
    ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), "conv_transpose"),
    (nn.Upsample, "interpolate"),
    (nn.PixelShuffle, "pixel_shuffle"),
    ((nn.MaxUnpool1d, nn.MaxUnpool2d, nn.MaxUnpool3d), "max_unpool"),
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), "conv"),
)
"""torch's layers, and the function that each is."""


@dataclass
class _Frame:
    """A module that is running."""

    path: str
    module: nn.Module | None
    noted: bool = False  # whether the function that the layer is was seen
    calls: int = 0  # that enlarge, its parts' included
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class _Convolution:
    """The last convolution: a pixel shuffle that takes its output belongs to it."""

    path: str
    input: Tensor
    output: weakref.ref[Tensor]
    weight: Tensor
    bias: Tensor | None
    again: Callable[[Tensor], Tensor]
    run: Callable[[Tensor, Tensor | None], Tensor]


class SiteWatcher(TorchFunctionMode):
    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self.visit = visit
        self.frames = [_Frame("", None)]
        self.inside_upsampler = 0
        self.busy = False  # while `visit` works, which may call the same functions and modules
        self.convolution: _Convolution | None = None
        self.block: weakref.ref[Tensor] | None = None  # six axes, of which a reshape makes four
        self.notes: list[str] = []
        self.failed = False  # whether `visit` raised

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name not in _ARGUMENTS or self.busy or self.inside_upsampler or not isinstance(output, Tensor):
            return output
        given = {**dict(zip(_ARGUMENTS[name], args, strict=False)), **kwargs}
        input = given.get("input", given.get("self"))
        if not isinstance(input, Tensor):
            return output

        def again(other: Tensor) -> Tensor:
            result: Tensor = func(other, *args[1:], **{k: v for k, v in kwargs.items() if k not in ("input", "self")})
            return result

        def with_weights(weight: Tensor, bias: Tensor | None) -> Tensor:
            changed = {**given, "weight": weight, "bias": bias}
            result: Tensor = func(**changed)
            return result

        call = self._read(name, given, input, output, again, with_weights)
        return output if call is None else self._shown(call)

    def _read(
        self, name: str, given: dict[str, Any], input: Tensor, output: Tensor, again: Any, with_weights: Any
    ) -> SiteCall | None:
        """The call that a function was, where it enlarged its input."""
        if name in ("permute", "transpose", "contiguous", "clone", "reshape", "view"):
            return self._by_hand(name, input, output, again)
        path = self._path(name)
        if name in ("conv1d", "conv2d", "conv3d"):
            weights = given["weight"], given.get("bias")
            self.convolution = _Convolution(path, input, weakref.ref(output), *weights, again, with_weights)
            return None
        dims = input.dim() - 1 if name == "pixel_shuffle" and input.dim() == 3 else input.dim() - 2
        if name.startswith(("conv_transpose", "max_unpool")):
            dims = int(name[-2])
        ratio = tuple(after / before for after, before in zip(output.shape[-dims:], input.shape[-dims:], strict=True))
        made = _Made(path, input, output, again, self._layer(name), tuple(range(-dims, 0)))
        if name.startswith("conv_transpose"):
            return _deconv(made, given, ratio, with_weights)
        if name == "pixel_shuffle":
            factor = int(given["upscale_factor"])
            return self._shuffle(made, (factor, factor)) if factor > 1 else None
        if name.startswith("max_unpool"):
            stride = given.get("stride") or given["kernel_size"]
            return made.call("unpool", _whole(_per_axis(stride, dims))) if max(ratio) > 1 else None
        kind = "resize" if name == "interpolate" else "grid_sample"
        factors = given.get("scale_factor")
        scale = _whole(ratio) if factors is None else _whole(_per_axis(factors, dims))
        mode = given.get("mode") or ("nearest" if kind == "resize" else "bilinear")
        return made.call(kind, scale, mode=mode) if max(ratio) > 1 else None

    def _shuffle(self, made: _Made, scale: tuple[int, int]) -> SiteCall:
        """A pixel shuffle, with the convolution whose output it takes as it is."""
        last = self.convolution
        if last is None or last.output() is not made.input or scale[0] != scale[1]:
            return made.call("pixel_shuffle", scale)

        def again(source: Tensor) -> Tensor:
            return made.again(last.again(source))

        def run(weight: Tensor, bias: Tensor | None) -> Tensor:
            return made.again(last.run(weight, bias))

        kernel = PhaseKernel("shuffle", last.weight, last.bias, (1, 1), run)
        call = made.call("pixel_shuffle", scale, source=last.input, kernel=kernel, conv=last.path)
        return replace(call, again=again)

    def _by_hand(self, name: str, input: Tensor, output: Tensor, again: Any) -> SiteCall | None:
        """`[N, C, H, s, W, s]`, permuted or expanded, that a reshape makes `[N, C, s·H, s·W]`.

        Told by the memory: in a shuffle the phases lie further apart than the pixels, in a repetition on each other.
        A window partition that is undone, `[N, C, rows, side, columns, side]`, has its pixels the other way about.
        """
        if name not in ("reshape", "view"):
            shuffled = output.dim() == 6 and name in ("permute", "transpose") and _phases_outside(output)
            copied = name in ("contiguous", "clone") and self.block is not None and self.block() is input
            if shuffled or copied:
                self.block = weakref.ref(output)
            return None
        if input.dim() != 6 or output.dim() != 4:
            return None
        n, c, h, a, w, b = input.shape
        if output.shape != (n, c, h * a, w * b) or max(a, b) == 1:
            return None
        made = _Made(self._path(name), input, output, again, name, (2, 4))
        if input.stride(3) == input.stride(5) == 0:
            return made.call("resize", (a, b), mode="nearest")
        kept = self.block is not None and self.block() is input
        return made.call("pixel_shuffle", (a, b)) if kept or _phases_outside(input) else None

    def _path(self, name: str) -> str:
        """Of the layer that is running, or of a function that its forward calls."""
        frame = self.frames[-1]
        if not frame.noted and _function_of(frame.module) == name.rstrip("123d"):
            frame.noted = True
            return frame.path
        frame.counts[name] += 1
        return f"{frame.path}:{name}#{frame.counts[name]}"

    def _layer(self, name: str) -> str:
        module = self.frames[-1].module
        return type(module).__name__ if _function_of(module) == name.rstrip("123d") else name

    def _shown(self, call: SiteCall) -> Tensor:
        self.frames[-1].calls += 1
        self.busy = True
        try:
            replaced = self.visit(call)
        except Exception:
            self.failed = True
            raise
        finally:
            self.busy = False
        return call.output if replaced is None else replaced

    # modules ----------------------------------------------------------------------------------------------------------

    def enter(self, path: str, module: nn.Module) -> None:
        if not self.busy:
            self.frames.append(_Frame(path, module))
            self.inside_upsampler += isinstance(module, Upsampler)

    def leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Tensor | None:
        """What takes the place of a layer's output: of one whose function was not seen, such as this package's own."""
        if self.busy:
            return None
        frame = self.frames.pop()
        self.inside_upsampler -= isinstance(module, Upsampler)
        layer = isinstance(module, Upsampler) or (not frame.noted and bool(_function_of(module)))
        if not layer:
            self._note_unknown(frame, module, args, output)
        self.frames[-1].calls += frame.calls
        if not layer or self.inside_upsampler or not isinstance(output, Tensor) or not args:
            return None
        self.busy = True  # what follows calls the module
        try:
            call = self._read_module(frame.path, module, args, kwargs, output)
        finally:
            self.busy = False
        return None if call is None else self._shown(call)

    def _note_unknown(self, frame: _Frame, module: nn.Module, args: Any, output: Any) -> None:
        """A module that enlarges images by a whole factor, and nothing in it that is known to."""
        if frame.calls or self.inside_upsampler or not args or not isinstance(output, Tensor):
            return
        if not isinstance(args[0], Tensor) or args[0].dim() != 4 or output.dim() != 4:
            return
        factors = {after / before for after, before in zip(output.shape[-2:], args[0].shape[-2:], strict=True)}
        if len(factors) == 1 and min(factors) >= 2 and min(factors).is_integer() and len(args[0]) == len(output):
            frame.calls += 1
            name = frame.path or "the model itself"
            self.notes.append(
                f"{name} ({type(module).__name__}) enlarges its input by {min(factors):g} in a way that is not known: "
                "it is not measured."
            )

    def _read_module(self, path: str, module: Any, args: Any, kwargs: Any, output: Tensor) -> SiteCall | None:
        def again(other: Tensor) -> Tensor:
            result: Tensor = module.forward(other, *args[1:], **kwargs)
            return result

        def with_weights(part: str) -> Callable[[Tensor, Tensor | None], Tensor]:
            def run(weight: Tensor, bias: Tensor | None) -> Tensor:
                own = {f"{part}weight": weight, **({} if bias is None else {f"{part}bias": bias})}
                result: Tensor = torch.func.functional_call(module, own, args, kwargs)
                return result

            return run

        made = _Made(path, args[0], output, again, type(module).__name__, (-2, -1))
        if isinstance(module, Upsampler):
            name = type(module).__module__.rpartition(".")[2]
            kernel = _kernel_of(module, with_weights)
            return made.call("upsampler", (module.scale, module.scale), mode=name, kernel=kernel)
        if isinstance(module, nn.Conv2d):
            run = with_weights("")
            weights = module.weight, module.bias
            self.convolution = _Convolution(path, args[0], weakref.ref(output), *weights, again, run)
        if not isinstance(module, nn.ConvTranspose2d):
            return None
        ratio = tuple(after / before for after, before in zip(output.shape[-2:], args[0].shape[-2:], strict=True))
        return _deconv(made, vars(module) | module._parameters, ratio, with_weights(""))


@dataclass(frozen=True)
class _Made:
    """What is known of every call."""

    path: str
    input: Tensor
    output: Tensor
    again: Callable[[Tensor], Tensor]
    layer: str
    spatial: tuple[int, ...]

    def call(self, kind: str, scale: tuple[float, ...], **more: Any) -> SiteCall:
        return SiteCall(
            self.path, kind, scale, self.input, self.output, self.again, self.layer, spatial=self.spatial, **more
        )


def _deconv(made: _Made, given: dict[str, Any], ratio: tuple[float, ...], run: Any) -> SiteCall | None:
    """A transposed convolution that enlarges. One of stride 1 is a site where it makes an image of a pixel, or nearly:
    elsewhere it is a convolution read backwards, with the size that its padding gives it."""
    stride = _per_axis(given.get("stride", 1), len(ratio))
    if max(ratio) <= 1 or (max(stride) == 1 and min(ratio) < 2):
        return None
    dilation = tuple(int(d) for d in _per_axis(given.get("dilation", 1), len(ratio)))
    kernel = PhaseKernel("deconv", given["weight"], given.get("bias"), dilation, run)
    return made.call("deconv", _whole(stride), kernel=kernel)


def _kernel_of(module: Upsampler, with_weights: Callable[[str], Any]) -> PhaseKernel | None:
    """The kernel of one of our upsamplers, where one decides its phases."""
    conv = getattr(module, "conv", None)
    if isinstance(conv, nn.ConvTranspose2d) and type(conv).forward is not nn.ConvTranspose2d.forward:
        return PhaseKernel("deconv", conv.weight, conv.bias, (1, 1), with_weights("conv."))
    if isinstance(conv, nn.Conv2d) and conv.out_channels == module.out_channels * module.scale**2:
        return PhaseKernel("shuffle", conv.weight, conv.bias, (1, 1), with_weights("conv."))
    return None


def _function_of(module: nn.Module | None) -> str:
    return next((name for kinds, name in _LAYERS if isinstance(module, kinds)), "")


def _phases_outside(block: Tensor) -> bool:
    """Whether in `[N, C, H, s, W, s]` the phases lie further apart in memory than the pixels do."""
    _, _, down, row_phase, across, column_phase = block.stride()
    return row_phase > down and column_phase > across


def _per_axis(value: Any, dims: int) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, tuple | list | torch.Size) else (value,)
    return values * dims if len(values) == 1 else values


def _whole(factors: tuple[float, ...]) -> tuple[float, ...]:
    """Whole factors as integers."""
    return tuple(int(f) if float(f).is_integer() else float(f) for f in factors)
