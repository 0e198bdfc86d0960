"""What modules cost: parameters, multiply-accumulates and bytes, from the sizes of layers or from what is really done.

Two countings answer two questions. `LayerCost` is a layer's definition, whatever cheaper order computes it; a model
lists its layers (`Autoencoder.layer_costs`). `Counter` watches the operations that PyTorch dispatches. (What one
convolution needs by its sizes alone, borders exact, is a chapter of `conv/arithmetic.py`.)

Conventions:
- A multiply-accumulate (MAC) is one multiplication whose product is added to a sum, in a matrix product, a convolution
  or a library resize, forward or backward. Element-wise arithmetic, pooling, copies and Fourier transforms count none.
- A transposed convolution counts the products it needs, not those with the zeros that a naive one inserts.
- Products with a convolution's zero padding count, as in all counters of the field.
- Bytes moved are those of every tensor that an operation reads or writes, once each, with nothing fused or cached:
  what a kernel-by-kernel execution asks of the memory. Views are free.
- Peak bytes are those of all tensors that an execution made and that are alive at once; a kernel's own workspace is
  not seen.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FLOPS_A_MAC = 2  # a multiplication and an addition
# Each line is one walk through memory of a tensor that large, where no two operators are merged and nothing is cached.
INPUT_PASSES = 3  # a convolution's input: read forward and for the weights' gradient, its own gradient written
OUTPUT_PASSES = 3  # its output: written forward, its gradient read twice
NORM_PASSES = 8  # batch norm: read twice (moments, values) and written; backward, two tensors read twice, one written
ACTIVATION_PASSES = 5  # read and written; backward, the gradient and the result read, one written


def parameter_count(module: nn.Module, *, trainable: bool = False) -> int:
    """Numbers of a module's parameters, or of those that require a gradient."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad or not trainable)


# ------------------------------------------------------------------------------------------------- from layers' sizes


class LayerCost(NamedTuple):
    """One convolution, upsampler or linear layer of a model: numbers are those of one image, forward."""

    name: str
    macs: float
    in_numbers: int
    out_numbers: int
    normalised: bool
    """Whether a norm and an activation follow."""


def step_flops(layers: Sequence[LayerCost], batch: int) -> float:
    """Operations of one training step: forward and both gradients, the first layer's without that of its input."""
    return FLOPS_A_MAC * batch * (3 * sum(layer.macs for layer in layers) - layers[0].macs)


def step_bytes(layers: Sequence[LayerCost], batch: int, bytes_a_number: int) -> float:
    """Bytes that one step carries to and from memory where each operator reads and writes its tensors once a pass.

    Weights and optimizer are left out: they stay in the cache, and are some hundredths of the images.
    """
    numbers = 0
    for layer in layers:
        numbers += INPUT_PASSES * layer.in_numbers + OUTPUT_PASSES * layer.out_numbers
        numbers += (NORM_PASSES + ACTIVATION_PASSES) * layer.out_numbers * layer.normalised
    return float(batch * bytes_a_number * (numbers - layers[0].in_numbers))


# ---------------------------------------------------------------------------------------------- from what is dispatched


def count_macs(call: Callable[[Tensor], object], input: Tensor) -> int:
    """MACs of `call(input)`, without gradients."""
    with torch.no_grad(), Counter() as counter:
        call(input)
    return counter.macs


def count_macs_of_shape(module: nn.Module, call: Callable[[Tensor], object], *shape: int) -> int:
    """MACs of `call`, a method of the module's, for zeros of that shape, in evaluation mode; the module is as before.

    The module may be on the meta device: then nothing is computed but sizes.
    """
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
        return count_macs(call, torch.zeros(shape, device=device))
    finally:
        for part, training in modes.items():
            part.training = training


def count_passes(call: Callable[[Tensor], Tensor], input: Tensor) -> tuple[Counter, Counter]:
    """Counters of a forward pass, and of forward and backward together less that: the backward pass.

    The peak of the second is that of both passes: what is kept for the backward pass is alive during it.
    """
    own = input.clone()  # which the module may write to
    with torch.no_grad(), Counter() as alone:
        call(own)
    own = differentiable(input)
    with torch.enable_grad(), Counter() as both:
        output = call_if_differentiable(call, own)
        at_forward = both.macs, both.bytes_moved
        if output is not None:
            gradient = torch.ones_like(output)
            at_forward = both.macs, both.bytes_moved
            output.backward(gradient)
    both.macs -= at_forward[0]
    both.bytes_moved -= at_forward[1]
    return alone, both


def differentiable(image: Tensor) -> Tensor:
    """A copy that gradients reach and that a module may write to, which it may not to a leaf."""
    with torch.enable_grad():
        return image.detach().clone().requires_grad_(image.is_floating_point()).clone()


def call_if_differentiable(call: Callable[[Tensor], Tensor], image: Tensor) -> Tensor | None:
    """The output; None where there is no backward pass: nothing requires a gradient, or it is refused."""
    try:
        output = call(image)
    except Exception:  # a forward pass through NumPy refuses what requires a gradient
        return None
    return output if output.requires_grad else None


class DispatchMode(TorchDispatchMode):
    """The base of what watches the operations that PyTorch dispatches: a mode that does not load the compiler.

    PyTorch wraps a mode's `__torch_dispatch__` so that it is never compiled, and for that imports `torch._dynamo` at
    its first operation: some four seconds, in which a whole passport is measured. Nothing is compiled here.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


aten = torch.ops.aten


def _mm(inputs: tuple[Any, ...], _: Any) -> int:
    """[m, k] @ [k, n], batched or not."""
    a, b = inputs[0], inputs[1]
    return int(a.numel() * b.shape[-1])


def _addmm(inputs: tuple[Any, ...], output: Any) -> int:
    return _mm(inputs[1:], output)


def _vector_product(inputs: tuple[Any, ...], _: Any) -> int:
    return int(inputs[0].numel())


def _convolution(inputs: tuple[Any, ...], output: Any) -> int:
    return _products(inputs[0], inputs[1], output, bool(inputs[6]))


def _products(image: Tensor, weight: Tensor, output: Tensor, transposed: bool) -> int:
    """Each output pixel, or each input pixel of a transposed convolution, meets one row of the weight."""
    pixels = image if transposed else output
    positions = pixels.shape[0] * math.prod(pixels.shape[2:])
    return int(positions * weight.numel())


def _convolution_backward(inputs: tuple[Any, ...], _: Any) -> int:
    """The gradient of the input and that of the weight need as many products as the forward pass."""
    grad_output, image, weight, wanted = inputs[0], inputs[1], inputs[2], inputs[10]
    return _products(image, weight, grad_output, bool(inputs[7])) * (int(wanted[0]) + int(wanted[1]))


def _resize(taps: int, antialiased: bool = False) -> Callable[[tuple[Any, ...], Any], int]:
    """A library resize of so many taps an axis: `aten.upsample_*(input, output_size, ...)`."""

    def count(inputs: tuple[Any, ...], output: Any) -> int:
        axis_taps = _axis_taps(taps, inputs[0].shape[2:], output.shape[2:], antialiased)
        return int(output.numel()) * axis_taps

    return count


def _resize_backward(taps: int, antialiased: bool = False) -> Callable[[tuple[Any, ...], Any], int]:
    """`aten.upsample_*_backward(grad_output, output_size, input_size, ...)`: each product of the forward pass again."""

    def count(inputs: tuple[Any, ...], _: Any) -> int:
        grad_output = inputs[0]
        return int(grad_output.numel()) * _axis_taps(taps, inputs[2][2:], grad_output.shape[2:], antialiased)

    return count


def _axis_taps(taps: int, before: Sequence[int], after: Sequence[int], antialiased: bool) -> int:
    """The product over axes; an antialiased filter is as many times longer as it makes the image smaller."""
    ratios = (max(1.0, b / a) if antialiased else 1.0 for b, a in zip(before, after, strict=True))
    return math.prod(math.ceil(taps * ratio) for ratio in ratios)


def _grid_sample(inputs: tuple[Any, ...], output: Any) -> int:
    """`aten.grid_sampler_2d(input, grid, mode, ...)`: bilinear, nearest or bicubic."""
    return int(output.numel()) * _GRID_TAPS[inputs[2]]


def _grid_sample_backward(inputs: tuple[Any, ...], _: Any) -> int:
    """`aten.grid_sampler_2d_backward(grad_output, input, grid, mode, padding, align_corners, output_mask)`.

    The gradient of the input meets each tap once; that of the grid once an axis, with the taps' slopes.
    """
    wanted = inputs[6] if len(inputs) > 6 else (True, True)
    slopes = 2 * int(wanted[1]) if inputs[3] != 1 else 0
    return int(inputs[0].numel()) * _GRID_TAPS[inputs[3]] * (int(wanted[0]) + slopes)


_GRID_TAPS = {0: 4, 1: 0, 2: 16}

MACS: dict[Any, Callable[[tuple[Any, ...], Any], int]] = {
    aten.mm: _mm,
    aten.bmm: _mm,
    aten.addmm: _addmm,
    aten.baddbmm: _addmm,
    aten.addmm_: _addmm,
    aten.baddbmm_: _addmm,
    aten.addbmm: _addmm,
    aten.mv: _vector_product,
    aten.dot: _vector_product,
    aten._sparse_mm: _mm,
    aten.convolution: _convolution,
    aten._convolution: _convolution,
    aten.convolution_backward: _convolution_backward,
    aten.grid_sampler_2d: _grid_sample,
    aten.grid_sampler_2d_backward: _grid_sample_backward,
    # Nearest resizes copy, and add up on the way back: no products.
    aten.upsample_linear1d: _resize(2),
    aten.upsample_linear1d_backward: _resize_backward(2),
    aten.upsample_bilinear2d: _resize(2),
    aten.upsample_bilinear2d_backward: _resize_backward(2),
    aten._upsample_bilinear2d_aa: _resize(2, antialiased=True),
    aten._upsample_bilinear2d_aa_backward: _resize_backward(2, antialiased=True),
    aten.upsample_bicubic2d: _resize(4),
    aten.upsample_bicubic2d_backward: _resize_backward(4),
    aten._upsample_bicubic2d_aa: _resize(4, antialiased=True),
    aten._upsample_bicubic2d_aa_backward: _resize_backward(4, antialiased=True),
}


class Counter(DispatchMode):
    """Counts MACs, bytes and peak bytes of everything inside `with Counter() as counter`."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.bytes_moved = 0
        self.peak_bytes = 0
        self._alive_bytes = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        count = MACS.get(func.overloadpacket)
        self.macs += count(args, output) if count else 0
        inputs, outputs = _tensors((args, kwargs)), _tensors(output)
        if not _is_view(func, inputs, outputs):
            self.bytes_moved += sum(map(_bytes, [*inputs, *outputs]))
        for tensor in outputs:
            self._follow(tensor, inputs)
        return output

    def _follow(self, tensor: Tensor, inputs: list[Tensor]) -> None:
        """Count a new storage until it is freed."""
        if tensor.layout != torch.strided:
            return
        storage = tensor.untyped_storage()
        if storage in self._known or any(_shares(tensor, other) for other in inputs):
            return
        self._known.add(storage)
        self._alive_bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self._alive_bytes)
        weakref.finalize(storage, self._forget, storage.nbytes())

    def _forget(self, size: int) -> None:
        self._alive_bytes -= size


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _bytes(tensor: Tensor) -> int:
    if tensor.layout != torch.strided:
        return int(tensor._nnz()) * (tensor.element_size() + 8 * tensor.ndim)
    # A broadcast tensor has more elements than memory.
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _is_view(func: Any, inputs: list[Tensor], outputs: list[Tensor]) -> bool:
    """Whether the operation only looks at its input's memory in another shape."""
    if func._schema.is_mutable or not outputs:
        return False
    return all(any(_shares(output, tensor) for tensor in inputs) for output in outputs)


def _shares(one: Tensor, other: Tensor) -> bool:
    if one.layout != torch.strided or other.layout != torch.strided:
        return one is other
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr() != 0
