"""`upsample.fold` changes the way and not the result: values, all gradients, `state_dict`, to the last pixel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap

from tests.upsamplers.test_upsampler_contract import _Calls
from tests.upsamplers.upsampler_cases import (
    FOLDABLE,
    IN_CHANNELS,
    NAMES,
    OUT_CHANNELS,
    SCALES,
    VARIANTS,
    build,
    guide_for,
    image,
    label,
)
from upsample_lab.compose import compose_grid
from upsample_lab.passport import count_macs
from upsample_lab.resize import nearest_matrix
from upsample_lab.runs.identity import digest
from upsample_lab.settings import option_values
from upsample_lab.upsamplers import Algorithms, Upsampler
from upsample_lab.upsamplers._fold import Foldable, FoldCase, choose_form, nearest_kernel
from upsample_lab.upsamplers._taps import tap_matrices

FORMS = [
    ("nearest", "kernel"),
    *((name, "taps") for name in FOLDABLE),
    *((name, "filter") for name in FOLDABLE if name != "fourier"),  # whose filter is as long as the image
]
forms = pytest.mark.parametrize(("name", "form"), FORMS, ids=[f"{name}-{form}" for name, form in FORMS])
FEW_FORMS = [("nearest", "kernel"), ("bilinear", "taps"), ("nearest", "filter"), ("bilinear", "filter")]
few_forms = pytest.mark.parametrize(("name", "form"), FEW_FORMS, ids=[f"{name}-{form}" for name, form in FEW_FORMS])
SIZES = [(1, 1), (1, 4), (5, 3)]
KERNEL_SIZES = (1, 3, 5, 9)


def pair(name: str, form: str, scale: int = 2, **options: Any) -> tuple[Upsampler, Upsampler]:
    """The layer by its definition, and the same one folded."""
    plain, folded = (build(name, scale, **options) for _ in range(2))
    plain.fold, folded.fold = "never", form
    return plain, folded


def derivatives(module: Upsampler, input: Tensor) -> list[Tensor]:
    """The output, and the gradients of input and parameters for a fixed random gradient of the output."""
    input = input.clone().requires_grad_()
    output = module(input, guide_for(module, input))
    seed = torch.randn(output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7)).to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, (input, *module.parameters()), seed)]


def same(actual: list[Tensor], expected: list[Tensor], tolerance: float = 1e-12) -> None:
    for one, other in zip(actual, expected, strict=True):
        largest = max(1.0, other.abs().max().item())
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * largest, check_stride=False)


# ----------------------------------------------------------------------------------------------------------------------
# The same function


@forms
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_exact_to_the_last_pixel(name: str, form: str, scale: int, kernel_size: int) -> None:
    plain, folded = pair(name, form, scale, kernel_size=kernel_size)
    for height, width in SIZES:
        input = image(height, width)
        same(derivatives(folded, input), derivatives(plain, input))


@pytest.mark.parametrize(("name", "options"), [case for case in VARIANTS if case[0] in FOLDABLE], ids=label)
def test_every_layer_that_can_fold_takes_every_setting(name: str, options: dict[str, Any]) -> None:
    plain, *others = (build(name, fold=fold, **options) for fold in ("never", "auto", "always"))
    input = image(5, 4)
    for other in others:
        assert list(other.state_dict()) == list(plain.state_dict())
        other.load_state_dict(plain.state_dict())
        same(derivatives(other, input), derivatives(plain, input))


@forms
def test_blocks_of_a_batch_make_no_difference(name: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, folded = pair(name, form)
    monkeypatch.setattr("upsample_lab.upsamplers._taps._BLOCK_BYTES_CPU", 1)  # one image a block
    input = image(4, 5, batch=3)
    same(derivatives(folded, input), derivatives(plain, input))


@forms
def test_an_empty_batch_and_frozen_parts(name: str, form: str) -> None:
    _, folded = pair(name, form)
    for gradient in derivatives(folded, image(4, 3, batch=0))[2:]:
        assert not gradient.any()
    input = image(4, 3).requires_grad_()
    whole = torch.autograd.grad(folded(input).square().sum(), (input, *folded.parameters()))
    folded.requires_grad_(False)
    same([*torch.autograd.grad(folded(input).square().sum(), input)], [whole[0]])
    folded.requires_grad_(True)
    same([*torch.autograd.grad(folded(input.detach()).square().sum(), [*folded.parameters()])], [*whole[1:]])


@few_forms
def test_second_derivatives(name: str, form: str) -> None:
    _, folded = pair(name, form)
    names = [key for key, _ in folded.named_parameters()]
    leaves = [image(2, 3, batch=1), *(parameter.detach() for parameter in folded.parameters())]

    def call(input: Tensor, *parameters: Tensor) -> Tensor:
        return functional_call(folded, dict(zip(names, parameters, strict=True)), (input,)).square()

    assert torch.autograd.gradgradcheck(call, [leaf.clone().requires_grad_() for leaf in leaves], fast_mode=True)


@few_forms
def test_function_transforms(name: str, form: str) -> None:
    """Gradients image by image, layers by layers, and forward derivatives: what torch.func asks of an operator."""
    plain, folded = pair(name, form)
    input, parameters = image(3, 2, batch=3), dict(folded.named_parameters())

    def loss(module: Upsampler, parameters: dict[str, Tensor], one: Tensor) -> Tensor:
        return functional_call(module, parameters, (one[None],)).square().sum()

    def per_image(module: Upsampler) -> list[Tensor]:
        return [*vmap(grad(lambda p, x: loss(module, p, x)), (None, 0))(parameters, input).values()]

    def per_layer(module: Upsampler) -> list[Tensor]:
        layers = {key: torch.stack([value, 2 * value]) for key, value in parameters.items()}
        return [vmap(lambda p: functional_call(module, p, (input,)))(layers)]

    def forward_derivative(module: Upsampler) -> list[Tensor]:
        tangents = {key: torch.ones_like(value) for key, value in parameters.items()}
        call = (parameters, input), (tangents, input.flip(2))
        return [*jvp(lambda p, x: functional_call(module, p, (x,)), *call)]

    expected = [torch.autograd.grad(loss(plain, parameters, one), [*parameters.values()]) for one in input]
    same(per_image(folded), [torch.stack(gradients) for gradients in zip(*expected, strict=True)])
    doubled = {key: 2 * value for key, value in parameters.items()}
    same(per_layer(folded), [torch.stack([plain(input), functional_call(plain, doubled, (input,))])])
    value, tangent = forward_derivative(folded)
    step = 1e-6
    moved = functional_call(plain, {k: v + step for k, v in parameters.items()}, (input + step * input.flip(2),))
    same([value], [plain(input)])
    same([tangent], [(moved - plain(input)) / step], tolerance=1e-4)


@forms
def test_memory_format_is_kept(name: str, form: str) -> None:
    _, folded = pair(name, form)
    planes = image(5, 6)
    assert folded(planes).is_contiguous()
    pixels = planes.contiguous(memory_format=torch.channels_last)
    output = folded.to(memory_format=torch.channels_last)(pixels)  # type: ignore[call-overload]
    assert output.is_contiguous(memory_format=torch.channels_last)
    same([output], [folded(planes)])


@forms
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_narrow_numbers_lose_no_more_than_by_the_definition(name: str, form: str, dtype: torch.dtype) -> None:
    plain, folded = pair(name, form)
    input = image(6, 5)
    exact = derivatives(plain, input)
    errors = []
    for module in (plain, folded):
        narrow = derivatives(module.to(dtype), input.to(dtype))
        assert all(tensor.dtype == dtype for tensor in narrow)
        errors.append([(a.double() - b).abs().max() / b.abs().max() for a, b in zip(narrow, exact, strict=True)])
    assert all(ours <= 2 * theirs + torch.finfo(dtype).eps for theirs, ours in zip(*errors, strict=True))


@forms
def test_autocast(name: str, form: str) -> None:
    _, folded = pair(name, form)
    folded.float()
    input = image(6, 5).float().requires_grad_()
    exact = folded(input)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = folded(input)
    assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    assert (output.float() - exact).abs().max() < 0.03 * exact.abs().max()
    assert all(leaf.grad is not None and leaf.grad.dtype == torch.float32 for leaf in (input, *folded.parameters()))


@pytest.mark.run
@few_forms
def test_compiles_and_exports_whole(name: str, form: str) -> None:
    plain, folded = pair(name, form)
    input = image(3, 4)
    torch.compiler.reset()
    compiled = torch.compile(folded, backend="aot_eager", fullgraph=True)
    same(derivatives(compiled, input), derivatives(plain, input))  # type: ignore[arg-type]
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(folded, (input,), dynamic_shapes={"input": {0: batch}})
    larger = image(3, 4, batch=5)
    same([exported.module()(larger)], [plain(larger)])


@forms
def test_custom_algorithms_call_no_kernel_of_torch(name: str, form: str) -> None:
    module = build(name, algorithms=Algorithms("custom", "custom"))
    module.fold = form
    input = image(6, 6).requires_grad_()
    with _Calls() as calls:
        module(input).sum().backward()
    assert calls.names
    assert not list(calls.convolutions())


@pytest.mark.parametrize("algorithm", ["native", "matrix", "im2col"])
@few_forms
def test_every_algorithm_folds(name: str, form: str, algorithm: str) -> None:
    plain, _ = pair(name, form)
    folded = build(name, algorithms=Algorithms(algorithm, "custom"))
    folded.fold = form
    input = image(4, 3)
    same(derivatives(folded, input), derivatives(plain, input))


@few_forms
@pytest.mark.parametrize(
    "input", [image(3, 3, channels=5), image(3, 3).float(), image(3, 3)[:, :, :0], image(3, 3).long()], ids=str
)
def test_what_the_definition_refuses_is_refused_in_its_words(name: str, form: str, input: Tensor) -> None:
    plain, folded = pair(name, form)
    with pytest.raises((ValueError, RuntimeError, TypeError)) as by_definition:
        plain(input)
    with pytest.raises(type(by_definition.value)) as when_folded:
        folded(input)
    assert str(when_folded.value) == str(by_definition.value)


# ----------------------------------------------------------------------------------------------------------------------
# The pieces


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_nearest_kernel_is_the_flipped_kernel_convolved_with_ones(kernel_size: int, scale: int) -> None:
    weight = torch.randn(3, 2, kernel_size, kernel_size, dtype=torch.float64)
    ones = torch.ones(1, 1, scale, scale, dtype=torch.float64)
    kernels = weight.flip(2, 3).flatten(0, 1)[:, None]
    convolved = torch.nn.functional.conv2d(kernels, ones, padding=scale - 1).reshape(
        3, 2, *[kernel_size + scale - 1] * 2
    )
    torch.testing.assert_close(nearest_kernel(weight, scale), convolved.transpose(0, 1), rtol=0, atol=1e-12)


def test_tap_matrices_shift_the_resized_axis_and_fill_with_zeros() -> None:
    before, here, behind = tap_matrices(nearest_matrix, (3, 2), 3)
    resized = nearest_matrix(3, 2)
    assert torch.equal(here, resized)
    assert torch.equal(before[1:], resized[:-1])
    assert torch.equal(behind[:-1], resized[1:])
    assert not before[0].any()
    assert not behind[-1].any()


@pytest.mark.parametrize(("form", "products"), [("kernel", (3 + 2 - 1) ** 2 / 4), ("taps", 3**2 / 4)])
def test_folded_layers_need_fewer_products(form: str, products: float) -> None:
    """For each output pixel and pair of channels; beside them the form `taps` sums over pixels, channel by channel."""
    plain, folded = (module.float() for module in pair("nearest", form))
    size = 8
    input = image(size, size, batch=1).float()
    per_pixel = count_macs(folded, input) / (2 * size) ** 2 / OUT_CHANNELS
    sums = 3 * size * (1 + 3 / 2) if form == "taps" else 0
    assert per_pixel == pytest.approx(IN_CHANNELS * products + sums, rel=0.15 if form == "kernel" else 1e-12)
    assert count_macs(plain, input) / (2 * size) ** 2 / OUT_CHANNELS == pytest.approx(9 * IN_CHANNELS, rel=0.15)


# ----------------------------------------------------------------------------------------------------------------------
# The rule, and the setting


def layer(**changed: Any) -> FoldCase:
    usual: dict[str, Any] = {
        "nearest": False,
        "scale": 2,
        "kernel_size": 3,
        "in_channels": 64,
        "size": (16, 16),
        "dtype": torch.float32,
        "device": "cpu",
        "algorithm": "native",
        "filter_size": None,
        "channels_last": True,
    }
    return FoldCase(**{**usual, **changed})


@pytest.mark.parametrize(
    ("changed", "folds"),
    [
        ({}, True),
        ({"algorithm": "custom"}, True),
        ({"nearest": True}, True),
        ({"kernel_size": 1}, True),
        ({"nearest": True, "dtype": torch.bfloat16}, True),
        ({"nearest": True, "device": "cuda"}, True),
        ({"in_channels": 2}, False),  # so few products that the sums over pixels cost more
        ({"size": (256, 256)}, False),  # sums over axes so long that most of the matrix is zeros
        ({"size": (256, 256), "filter_size": 4}, True),  # which a filter costs nothing
        ({"size": (256, 256), "filter_size": 4, "algorithm": "custom"}, False),
        ({"dtype": torch.bfloat16}, False),
        ({"dtype": torch.bfloat16, "filter_size": 4}, False),
        ({"device": "cuda", "filter_size": 4}, False),
        ({"algorithm": "matrix"}, False),
        ({"nearest": True, "algorithm": "im2col"}, False),
    ],
    ids=str,
)
def test_auto_folds_where_it_was_measured_to_pay(changed: dict[str, Any], folds: bool) -> None:
    assert (choose_form(layer(**changed)) != "definition") == folds


@pytest.mark.parametrize(
    ("changed", "form"),
    [
        ({"nearest": True, "filter_size": 2}, "filter"),
        ({"nearest": True, "filter_size": 2, "in_channels": 32, "size": (14, 14)}, "filter"),
        ({"nearest": True, "filter_size": 2, "in_channels": 32, "channels_last": False}, "kernel"),
        ({"filter_size": 4}, "taps"),
        ({"filter_size": 4, "size": (64, 64)}, "filter"),
        ({"filter_size": 4, "size": (7, 7)}, "taps"),
    ],
    ids=str,
)
def test_auto_takes_the_form_that_was_measured_to_be_fastest(changed: dict[str, Any], form: str) -> None:
    assert choose_form(layer(**changed)) == form


@pytest.mark.parametrize("name", FOLDABLE)
def test_after_the_convolution_nothing_is_left_to_fold(name: str) -> None:
    if name == "bilinear_additive":
        return
    module = build(name, order="conv_first", fold="always")
    assert count_macs(module, image(4, 4)) == count_macs(build(name, order="conv_first", fold="never"), image(4, 4))


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_has_the_setting_where_it_can_fold(name: str) -> None:
    assert (name in FOLDABLE) == isinstance(build(name), Foldable) == hasattr(build(name), "fold")
    assert option_values("upsample", name).get("fold", "auto") == "auto"


@pytest.mark.parametrize("name", NAMES)
def test_a_sweep_over_all_layers_can_set_it(name: str) -> None:
    """Those that can fold heed it."""
    swept = [f"upsample={name},deconv,nearest", "model.widths=[8,8]"]
    given, usual = compose_grid("train", [*swept, "upsample.fold=never"]), compose_grid("train", swept)
    assert [getattr(config.upsample, "fold", None) for config in given] == [
        "never" if each in FOLDABLE else None for each in (name, "deconv", "nearest")
    ]
    assert [digest(config) for config in given] == [digest(config) for config in usual]  # it decides no result


# ----------------------------------------------------------------------------------------------------------------------
# CUDA


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@forms
def test_on_cuda_the_same_and_repeatable(name: str, form: str) -> None:
    """Matrix products or one transposed convolution: no atomic additions, as in the gradient of `interpolate`."""
    plain, folded = pair(name, form)
    input = image(6, 5)
    expected = derivatives(plain, input)
    actual = [tensor.cpu() for tensor in derivatives(folded.cuda(), input.cuda())]
    same(actual, expected)
    with torch.backends.cudnn.flags(deterministic=True):
        first, second = (derivatives(folded.float(), input.float().cuda()) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
