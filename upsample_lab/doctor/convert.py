"""Exact conversions between upsampling layers: the same map, borders included, as another layer of torch's.

A transposed convolution, a convolution before a pixel shuffle, and a resize before a convolution are one kind of map:
each input pixel writes its value times a kernel, `y[s·i - p + t] += x[i]·w[t]`. `spread_of` reads that kernel off a
layer, `to_conv_transpose` and `to_pixel_shuffle` make a layer of it.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.conv import Conv2d, ConvTranspose2d, applied_weight, exact_padding
from upsample_lab.conv.checks import as_pair
from upsample_lab.conv.geometry import Pair
from upsample_lab.resize import KERNELS, interpolation_matrix, nearest_matrix
from upsample_lab.upsamplers._filter import Interpolation, as_interpolation
from upsample_lab.upsamplers._resize_convolution import ResizeConvolution
from upsample_lab.upsamplers.deconv import Deconv
from upsample_lab.upsamplers.nearest import Nearest
from upsample_lab.upsamplers.pixel_shuffle import PixelShuffle


class Spread(NamedTuple):
    """`y[s·i - p + t] += x[i]·w[t]` on an output of `s·n + extra` pixels, along each axis.

    weight   float64, `[C_in, C_out/groups, k_h, k_w]`, as a transposed convolution's
    bias     float64, `[C_out]`, or None
    repeat   pixels by which the image is enlarged first, its borders repeated; n counts them
    """

    weight: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Pair
    extra: Pair
    groups: int = 1
    repeat: Pair = (0, 0)


def to_conv_transpose(module: nn.Module) -> nn.Module:
    """The same map as one `nn.ConvTranspose2d`, behind an `nn.ReplicationPad2d` where the layer repeats borders.

    Of an `nn.ConvTranspose2d` (dilation becomes zeros in the kernel), of `nn.Sequential(nn.Conv2d, nn.PixelShuffle)`
    with or without a cropping `nn.ZeroPad2d` behind, of `nn.Sequential(nn.Upsample, nn.Conv2d)`, and of the package's
    own deconv, pixel_shuffle and resize layers. Dtype, device and mode are the layer's.

    Raises ValueError, with the reason in one line, where no such layer is the same map.
    """
    spread = spread_of(module)
    kernel, fitted, made = spread.weight, [], []
    for axis in (0, 1):
        first, last = _written(kernel, axis)
        p, size, s = spread.padding[axis] - first, last - first + 1, spread.stride[axis]
        q = spread.extra[axis] + s + 2 * p - size  # what output_padding has to be
        before = max(0, -p, -q)
        after = max(0, q + before - (s - 1))
        made.append((before - first, after + last + 1 - kernel.shape[2 + axis]))
        fitted.append((p + before, q + before - after))
    (top, bottom), (left, right) = made
    kernel = F.pad(kernel, (left, right, top, bottom))
    (p_h, q_h), (p_w, q_w) = fitted
    layer = nn.ConvTranspose2d(
        kernel.shape[0],
        kernel.shape[1] * spread.groups,
        (kernel.shape[2], kernel.shape[3]),
        spread.stride,
        (p_h, p_w),
        (q_h, q_w),
        spread.groups,
        bias=spread.bias is not None,
        device="meta",
    )
    return _finished(module, spread, _filled(layer, kernel, spread.bias))


def to_pixel_shuffle(module: nn.Module) -> nn.Sequential:
    """The same map as `nn.Conv2d` and `nn.PixelShuffle`, with an `nn.ZeroPad2d` that crops where pixels are left over.

    Of the same layers as `to_conv_transpose`. Raises ValueError also for strides that differ between the axes.
    """
    spread = spread_of(module)
    s, other = spread.stride
    if s != other:
        raise ValueError(f"stride {spread.stride}: a pixel shuffle enlarges both axes alike")
    # Blocks of s x s pixels, of which the kernel covers so many; the first and the last block that are seen.
    sides, pads, crops = [], [], []
    for axis in (0, 1):
        p, e = spread.padding[axis], spread.extra[axis]
        before = max(0, -p)
        p, blocks = p + before, -(-(spread.weight.shape[2 + axis] + before) // s)
        pad = max(0, blocks - 1 - p // s, -(-(e + p) // s))
        sides.append(blocks)
        pads.append(pad)
        crops.append((p - s * (blocks - 1 - pad), s * pad - e - p))
    start = (crops[0][0], crops[1][0])
    kernel = shuffle_kernel(spread, (sides[0], sides[1]), (pads[0], pads[1]), start)
    conv = nn.Conv2d(
        spread.weight.shape[0],
        kernel.shape[0],
        (sides[0], sides[1]),
        padding=(pads[0], pads[1]),
        groups=spread.groups,
        bias=spread.bias is not None,
        device="meta",
    )
    bias = None if spread.bias is None else spread.bias.repeat_interleave(s**2)
    parts = [_filled(conv, kernel, bias), nn.PixelShuffle(s)]
    if any(map(any, crops)):
        parts.append(nn.ZeroPad2d(tuple(-side for side in (*crops[1], *crops[0]))))  # type: ignore[arg-type]  # four
    return cast(nn.Sequential, _finished(module, spread, *parts))


def shuffle_kernel(spread: Spread, kernel_size: Pair, padding: Pair, start: Pair = (0, 0)) -> Tensor:
    """The kernel `[C_out·s², C_in/groups, k_h, k_w]` before a shuffle, of whose output `start` pixels are cut off.

    `c[t, a] = w[s·(padding - t) + a + p - start]`, and zeros where w has no such tap; what of w lies beyond all t is
    left out.
    """
    s, groups, weight = spread.stride[0], spread.groups, spread.weight
    for axis in (0, 1):
        taps = torch.arange(kernel_size[axis])[:, None]
        place = s * (padding[axis] - taps) + torch.arange(s) + spread.padding[axis] - start[axis]  # [k, s]
        inside = (place >= 0) & (place < weight.shape[2 + axis])
        picked = weight.index_select(2 + axis, place.clamp(0, weight.shape[2 + axis] - 1).flatten().to(weight.device))
        shape = [1, 1, 1, 1]
        shape[2 + axis] = -1
        weight = picked * inside.flatten().view(shape).to(picked)
    per_group = weight.unflatten(0, (groups, -1))  # [g, C_in/g, C_out/g, k_h·s, k_w·s]
    phases = per_group.unflatten(4, (kernel_size[1], s)).unflatten(3, (kernel_size[0], s))
    return phases.permute(0, 2, 4, 6, 1, 3, 5).flatten(0, 3)


def own_kernel(spread: Spread, name: str, kernel_size: int, shift: Pair = (0, 0)) -> Tensor | None:
    """The weight with which our `pixel_shuffle` or `deconv` of that kernel size is the map, or None where none is.

    `shift` is where the map's output begins in that of our layer, whose own is exactly s times its input.
    """
    s = spread.stride[0]
    if spread.stride[1] != s or spread.repeat != (0, 0):
        return None
    apart = spread._replace(weight=_ungrouped(spread), groups=1)
    padding = kernel_size // 2 if name == "pixel_shuffle" else exact_padding(kernel_size, s)[0]
    low, high = (s * (padding - kernel_size + 1), s * (padding + 1)) if name == "pixel_shuffle" else (0, kernel_size)
    sides = []
    for axis in (0, 1):
        first, last = _written(spread.weight, axis)
        moved = shift[axis] - spread.padding[axis] + (padding if name == "deconv" else 0)
        if first + moved < low or last + moved >= high:
            return None
        sides.append((moved, kernel_size - spread.weight.shape[2 + axis] - moved))
    if name == "deconv":
        return F.pad(apart.weight, (*sides[1], *sides[0]))
    return shuffle_kernel(apart, (kernel_size, kernel_size), (padding, padding), shift)


def _ungrouped(spread: Spread) -> Tensor:
    """The weight with zeros between the groups, `[C_in, C_out, k_h, k_w]`."""
    each = spread.weight.unflatten(0, (spread.groups, -1))
    apart = torch.eye(spread.groups).to(each).view(spread.groups, 1, spread.groups, 1, 1, 1)
    return (each[:, :, None] * apart).flatten(2, 3).flatten(0, 1)


# ----------------------------------------------------------------------------------------------------------------------
# What a layer does


def spread_of(module: nn.Module, *, any_bias: bool = False) -> Spread:
    """The kernel that a layer writes with, in float64. Raises ValueError, in one line, for a layer that has none.

    `any_bias` takes a shuffle's biases that differ between the phases of a channel, by their mean.
    """
    with torch.no_grad():
        if isinstance(module, nn.ConvTranspose2d):
            return _of_transposed(module)
        if isinstance(module, Deconv | PixelShuffle | ResizeConvolution):
            return _of_own(module, any_bias)
        parts = list(module) if isinstance(module, nn.Sequential) else []
        match parts:
            case [nn.ReplicationPad2d() as pad, layer]:
                left, right, top, bottom = pad.padding
                inner = spread_of(layer)
                if (left, top) == (right, bottom) and inner.repeat == (0, 0):
                    return inner._replace(repeat=(top, left))
            case [nn.Conv2d() as conv, nn.PixelShuffle() as shuffle]:
                return _of_shuffle(conv, shuffle.upscale_factor, any_bias=any_bias)
            case [nn.Conv2d() as conv, nn.PixelShuffle() as shuffle, nn.ZeroPad2d() as crop]:
                return _cropped(_of_shuffle(conv, shuffle.upscale_factor), crop)
            case [nn.Upsample() as resize, nn.Conv2d() as conv]:
                return _of_resize(_interpolations(resize), conv)
    raise ValueError(
        f"{type(module).__name__}: must be an nn.ConvTranspose2d, an nn.Conv2d before an nn.PixelShuffle, an "
        "nn.Upsample before an nn.Conv2d, or a deconv, pixel_shuffle or resize of upsample_lab"
    )


def _of_own(module: Deconv | PixelShuffle | ResizeConvolution, any_bias: bool) -> Spread:
    if type(module) is Deconv:
        return _of_transposed(module.conv)
    if type(module) is PixelShuffle:
        spread = _of_shuffle(module.conv, module.scale, any_bias=any_bias)
        return spread._replace(bias=module.bias.double()) if module.tie_bias else spread
    if not isinstance(module, ResizeConvolution):
        raise ValueError(f"{type(module).__name__}: its blur repeats borders at the output, as no kernel does")
    if module.order == "conv_first":
        if not isinstance(module, Nearest):
            raise ValueError(f"{type(module).__name__}: order=conv_first repeats borders that it has computed")
        return _of_shuffle(module.conv, module.scale, repeated=True)
    found = as_interpolation(*module.axis(), module.scale)
    if found is None:
        raise ValueError(f"{type(module).__name__}: its filter has no end")
    return _of_resize((found, found), module.conv)


def _of_transposed(module: nn.ConvTranspose2d) -> Spread:
    if type(module).forward not in (nn.ConvTranspose2d.forward, ConvTranspose2d.forward):
        raise ValueError(f"{type(module).__name__}: has a forward of its own")
    s, p, q, d = (
        as_pair("", value) for value in (module.stride, module.padding, module.output_padding, module.dilation)
    )
    weight = _dilated(applied_weight(module).double(), d)
    extra = [weight.shape[2 + axis] + q[axis] - s[axis] - 2 * p[axis] for axis in (0, 1)]
    return Spread(weight, _bias(module), s, p, (extra[0], extra[1]), module.groups)


def _of_shuffle(conv: nn.Conv2d, scale: int, *, repeated: bool = False, any_bias: bool = False) -> Spread:
    """`repeated`: one kernel for all phases, as nearest has behind a convolution."""
    weight, bias = _flipped(conv), _bias(conv)
    if not repeated and weight.shape[1] % scale**2:
        raise ValueError(f"groups={conv.groups}: the phases of an output channel lie in different groups")
    weight = weight[:, None] if repeated else weight.unflatten(1, (-1, scale**2)).transpose(1, 2)  # [C_in, s², C, k, k]
    phases = weight.expand(-1, scale**2, -1, -1, -1).unflatten(1, (scale, scale))  # [C_in, a, b, C, k_h, k_w]
    kernel = phases.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)
    if bias is not None and not repeated:
        biases = bias.unflatten(0, (-1, scale**2))
        if not any_bias and not torch.equal(biases, biases[:, :1].expand_as(biases)):
            raise ValueError("the biases differ between the phases of a channel: a transposed convolution has one")
        bias = biases.mean(1)
    (before, after), repeat = _paddings(conv)
    sides = weight.shape[3:]
    padding = [scale * (sides[axis] - 1 - before[axis]) for axis in (0, 1)]
    extra = [scale * (before[axis] + after[axis] - sides[axis] + 1) for axis in (0, 1)]
    return Spread(kernel, bias, (scale, scale), (padding[0], padding[1]), (extra[0], extra[1]), conv.groups, repeat)


def _of_resize(axes: tuple[Interpolation, Interpolation], conv: nn.Conv2d) -> Spread:
    """Each tap of the convolution writes the filter of the resize: the kernel is the two convolved."""
    kernel = _flipped(conv)
    for axis, filter in enumerate(axes):
        taps = kernel.new_tensor(filter.h).view(1, 1, *((-1, 1) if axis == 0 else (1, -1)))
        sides = (len(filter.h) - 1, 0) if axis == 0 else (0, len(filter.h) - 1)
        flat = kernel.flatten(0, 1)[:, None]
        kernel = F.conv2d(flat, taps.flip(2, 3), padding=sides).view(
            *kernel.shape[:2], *(kernel.shape[2 + each] + sides[each] for each in (0, 1))
        )
    padding, extra, repeat = [], [], []
    (before, after), replicated = _paddings(conv)
    extent = _flipped(conv).shape[2:]
    for axis, filter in enumerate(axes):
        b, a = before[axis] + replicated[axis], after[axis] + replicated[axis]
        beyond = filter.repeats is not None and (b or a)
        if beyond and not (any(replicated) and filter.repeats is not None and filter.repeats.reach == 1):
            raise ValueError(
                "the resize repeats borders where the convolution has zeros beyond them: only away from them is it a "
                "transposed convolution (exact with nearest, padding=0, or bilinear and padding_mode='replicate')"
            )
        p, e = extent[axis] - 1 - b - filter.first, b + a - extent[axis] + 1
        m = 0
        if filter.repeats is not None or any(replicated):
            m = max((kernel.shape[2 + axis] - 1 - p) // filter.scale, (e - 1 + p) // filter.scale + 1, 0)
        padding.append(p + filter.scale * m)
        extra.append(e - 2 * filter.scale * m)
        repeat.append(m)
    return Spread(
        kernel,
        _bias(conv),
        (axes[0].scale, axes[1].scale),
        (padding[0], padding[1]),
        (extra[0], extra[1]),
        conv.groups,
        (repeat[0], repeat[1]),
    )


def _cropped(spread: Spread, crop: nn.ZeroPad2d) -> Spread:
    left, right, top, bottom = crop.padding
    if max(crop.padding) > 0:
        raise ValueError(f"ZeroPad2d{crop.padding}: adds zeros, where a kernel adds the bias")
    padding, extra = spread.padding, spread.extra
    return spread._replace(
        padding=(padding[0] - top, padding[1] - left), extra=(extra[0] + top + bottom, extra[1] + left + right)
    )


def _interpolations(resize: nn.Upsample) -> tuple[Interpolation, Interpolation]:
    factors = resize.scale_factor if isinstance(resize.scale_factor, tuple) else (resize.scale_factor,) * 2
    mode = {"nearest-exact": "nearest"}.get(resize.mode, resize.mode)
    if any(factor is None or not float(factor).is_integer() for factor in factors):
        raise ValueError(f"Upsample(size={resize.size}, scale_factor={resize.scale_factor}): must be a whole factor")
    if mode not in ("nearest", *KERNELS) or resize.align_corners:
        raise ValueError(
            f"Upsample(mode={resize.mode}, align_corners={resize.align_corners}): no one filter everywhere"
        )
    found = [
        as_interpolation(nearest_matrix, (scale,), scale)
        if mode == "nearest" or scale == 1
        else as_interpolation(interpolation_matrix, (scale, KERNELS[mode]), scale)
        for scale in (int(factor or 1) for factor in factors)
    ]
    return cast(tuple[Interpolation, Interpolation], tuple(found))


def _paddings(conv: nn.Conv2d) -> tuple[tuple[Pair, Pair], Pair]:
    """Zeros before and after each axis, and how far borders are repeated. Raises ValueError for other paddings."""
    if type(conv).forward not in (nn.Conv2d.forward, Conv2d.forward) or as_pair("", conv.stride) != (1, 1):
        raise ValueError(f"{type(conv).__name__}(stride={conv.stride}): must be a plain convolution of stride 1")
    left, right, top, bottom = conv._reversed_padding_repeated_twice
    if conv.padding_mode == "zeros":
        return ((top, left), (bottom, right)), (0, 0)
    if conv.padding_mode != "replicate" or (top, left) != (bottom, right):
        raise ValueError(f"padding_mode={conv.padding_mode!r}: must be 'zeros', or 'replicate' with equal sides")
    return ((0, 0), (0, 0)), (top, left)


def _flipped(conv: nn.Conv2d) -> Tensor:
    """`[C_out, C_in/g, k, k] -> [C_in, C_out/g, k, k]`: the kernel as it is written, in float64, its dilation in it."""
    weight = _dilated(applied_weight(conv).double(), as_pair("dilation", conv.dilation)).flip(2, 3)
    return weight.unflatten(0, (conv.groups, -1)).transpose(1, 2).flatten(0, 1)


def _dilated(weight: Tensor, dilation: Pair) -> Tensor:
    if dilation == (1, 1):
        return weight
    sides = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    wide = weight.new_zeros(*weight.shape[:2], *sides)
    wide[:, :, :: dilation[0], :: dilation[1]] = weight
    return wide


def _bias(module: nn.Module) -> Tensor | None:
    bias = module.bias
    return None if bias is None else cast(Tensor, bias).double()


# ----------------------------------------------------------------------------------------------------------------------
# A layer that does it


def _written(weight: Tensor, axis: int) -> Pair:
    """The first and the last tap along an axis that are not zero for every pair of channels."""
    used = weight.transpose(2, 2 + axis).transpose(0, 2).flatten(1).ne(0).any(1).nonzero().flatten().tolist()
    return (used[0], used[-1]) if used else (0, weight.shape[2 + axis] - 1)


def _filled(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def _finished(module: nn.Module, spread: Spread, *parts: nn.Module) -> nn.Module:
    like = next(module.parameters())
    if any(spread.repeat):
        down, across = spread.repeat
        parts = (nn.ReplicationPad2d((across, across, down, down)), *parts)
    made = parts[0] if len(parts) == 1 else nn.Sequential(*parts)
    return made.to(like.device, like.dtype).requires_grad_(like.requires_grad).train(module.training)
