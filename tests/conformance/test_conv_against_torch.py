"""Every algorithm against PyTorch's kernels and against the definition: outputs and all gradients, any arguments."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from upsample_lab.conv import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, conv2d, conv_transpose2d, definition
from upsample_lab.conv.checks import as_pair
from upsample_lab.conv.geometry import Geometry

MANY = settings(
    max_examples=500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@dataclass(frozen=True)
class Case:
    """One configuration of either function; ``padding`` may be a name for conv2d."""

    batch: int | None
    size: tuple[int, int]
    group_channels: tuple[int, int]
    kernel: tuple[int, int]
    stride: int | tuple[int, int]
    padding: int | tuple[int, int] | str
    dilation: int | tuple[int, int]
    groups: int
    output_padding: tuple[int, int]
    bias: bool
    layouts: tuple[str, str]
    seed: int

    def tensors(self, dtype: torch.dtype, *, transposed: bool) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        c_in, c_out = (per_group * self.groups for per_group in self.group_channels)
        weight = (c_in, c_out // self.groups) if transposed else (c_out, c_in // self.groups)
        image = (c_in, *self.size) if self.batch is None else (self.batch, c_in, *self.size)
        shapes = [image, (*weight, *self.kernel)] + ([(c_out,)] if self.bias else [])
        tensors = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
        tensors[:2] = [laid_out(t, name) for t, name in zip(tensors, self.layouts, strict=False)]
        return [t.requires_grad_() for t in tensors]


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """The same numbers, otherwise in memory."""
    if layout == "channels_last" and tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    if layout == "strided":
        return torch.stack((tensor, tensor), -1)[..., 0]
    if layout == "transposed":
        return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    return tensor.contiguous()


def int_or_pair(low: int, high: int) -> st.SearchStrategy[int | tuple[int, int]]:
    number = st.integers(low, high)
    return number | st.tuples(number, number)


layouts = st.sampled_from(["contiguous", "channels_last", "strided", "transposed"])
cases = st.builds(
    Case,
    batch=st.sampled_from([None, 0, 1, 2, 3]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    group_channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=int_or_pair(1, 4),
    padding=int_or_pair(0, 4) | st.sampled_from(["same", "valid"]),
    dilation=int_or_pair(1, 3),
    groups=st.sampled_from([1, 1, 2, 3]),
    output_padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    bias=st.booleans(),
    layouts=st.tuples(layouts, layouts),
    seed=st.integers(0, 10**6),
)


def difference(ours: Tensor, torchs: Tensor) -> float:
    """Largest difference, relative to the largest number (or to one, where all are smaller)."""
    assert ours.shape == torchs.shape
    if not torchs.numel():
        return 0.0
    return float((ours.double() - torchs.double()).abs().max() / torchs.double().abs().max().clamp(min=1.0))


def torchs_answer(function, tensors, arguments):
    try:
        return function(*tensors, **arguments)
    except RuntimeError:
        return None


def hold_against(native: Tensor, ours: Tensor, tensors: list[Tensor], dtype: torch.dtype, what: str) -> None:
    assert ours.dtype == native.dtype
    for memory_format in (torch.contiguous_format, torch.channels_last)[: native.dim() - 2]:
        same = ours.is_contiguous(memory_format=memory_format) == native.is_contiguous(memory_format=memory_format)
        assert same or not native.numel(), f"{what}: {ours.stride()} is not the memory format of {native.stride()}"
    seed = torch.randn(native.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    expected = torch.autograd.grad(native, tensors, seed, retain_graph=True)
    got = torch.autograd.grad(ours, tensors, seed)
    for name, a, b in zip(("output", "input", "weight", "bias"), (ours, *got), (native, *expected), strict=False):
        assert difference(a.detach(), b.detach()) <= TOLERANCE[dtype], f"{what}: {name}"


@pytest.mark.run
@MANY
@given(case=cases)
def test_conv2d_is_torchs(case: Case) -> None:
    arguments = {key: getattr(case, key) for key in ("stride", "padding", "dilation", "groups")}
    for dtype in TOLERANCE:
        tensors = case.tensors(dtype, transposed=False)
        native = torchs_answer(F.conv2d, tensors, arguments)
        if native is None:
            for algorithm in CONV2D_ALGORITHMS:
                with pytest.raises((ValueError, TypeError, RuntimeError)):
                    conv2d(*tensors, **arguments, algorithm=algorithm)
            assume(False)
        for algorithm in set(CONV2D_ALGORITHMS) - {"native"}:
            ours = conv2d(*tensors, **arguments, algorithm=algorithm)
            hold_against(native, ours, tensors, dtype, algorithm)


@pytest.mark.run
@MANY
@given(case=cases)
def test_conv_transpose2d_is_torchs(case: Case) -> None:
    assume(not isinstance(case.padding, str))
    keys = ("stride", "padding", "output_padding", "groups", "dilation")
    arguments = {key: getattr(case, key) for key in keys}
    for dtype in TOLERANCE:
        tensors = case.tensors(dtype, transposed=True)
        native = torchs_answer(F.conv_transpose2d, tensors, arguments)
        if native is None:
            for algorithm in CONV_TRANSPOSE2D_ALGORITHMS:
                with pytest.raises((ValueError, TypeError, RuntimeError)):
                    conv_transpose2d(*tensors, **arguments, algorithm=algorithm)
            assume(False)
        for algorithm in set(CONV_TRANSPOSE2D_ALGORITHMS) - {"native"}:
            ours = conv_transpose2d(*tensors, **arguments, algorithm=algorithm)
            hold_against(native, ours, tensors, dtype, algorithm)


@settings(MANY, max_examples=150)
@given(case=cases)
def test_the_definition_is_torchs(case: Case) -> None:
    assume(case.batch is not None and not isinstance(case.padding, str))
    x, weight, *bias = (t.detach() for t in case.tensors(torch.float64, transposed=False))
    g = Geometry(*(as_pair("any", value) for value in (case.stride, case.padding, case.dilation)), case.groups)
    size = g.output_size(case.size, case.kernel)
    assume(min(size) > 0)
    bias = bias[0] if bias else None
    y = F.conv2d(x, weight, bias, g.stride, g.padding, g.dilation, g.groups)
    assert difference(definition.convolve(x, weight, bias, size, g), y) <= 1e-12
    x.requires_grad_(), weight.requires_grad_()
    y = F.conv2d(x, weight, None, g.stride, g.padding, g.dilation, g.groups)
    seed = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    grad_x, grad_weight = torch.autograd.grad(y, (x, weight), seed)
    assert difference(definition.convolve_transposed(seed, weight.detach(), None, case.size, g), grad_x) <= 1e-12
    assert difference(definition.weight_gradient(x.detach(), seed, case.kernel, g), grad_weight) <= 1e-12
