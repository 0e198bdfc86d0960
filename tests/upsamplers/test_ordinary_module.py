"""A layer is an ordinary module: hooks run, and what alters, replaces or normalises a convolution counts.

Each layer is held against a twin whose convolutions are torch's own modules, altered in the same way and trained beside
it: outputs, weights and every buffer stay equal.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as of_all_modules
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from tests.upsamplers.upsampler_cases import OUT_CHANNELS, SCALES, VARIANTS, build, guide_for, image, label
from upsample_lab.conv import Conv2d, ConvTranspose2d, applied_weight
from upsample_lab.upsamplers import Algorithms, Upsampler
from upsample_lab.upsamplers.deconv import PhaseEqualConvTranspose2d, phase_projection

variants = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=label)
NATIVE = Algorithms("native", "native")


class _TorchsPhaseEqual(nn.ConvTranspose2d):
    """The definition of `phase_equal`, on torch's module."""

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        weight = self.weight  # once: spectral_norm iterates whenever it is asked
        projection = phase_projection(self.kernel_size[0], self.stride[0]).to(weight)
        projected: Any = ((weight.flatten(2) @ projection).view_as(weight), self.bias)
        geometry: Any = (self.stride, self.padding, self.output_padding)
        return nn.functional.conv_transpose2d(input, *projected, *geometry)


def torchs(conv: nn.Module) -> nn.Module:
    """Torch's own module of the same arguments and numbers."""
    assert isinstance(conv, Conv2d | ConvTranspose2d)
    common: dict[str, Any] = {
        key: getattr(conv, key)
        for key in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    }
    common |= {"bias": conv.bias is not None, "dtype": conv.weight.dtype}
    if isinstance(conv, Conv2d):
        twin: nn.Module = nn.Conv2d(**common)
    else:
        kind = _TorchsPhaseEqual if isinstance(conv, PhaseEqualConvTranspose2d) else nn.ConvTranspose2d
        twin = kind(**common, output_padding=conv.output_padding)
    twin.load_state_dict(conv.state_dict())
    return twin


def convolutions(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((key, part) for key, part in module.named_children() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d))


def twin_of(module: Upsampler) -> Upsampler:
    twin = copy.deepcopy(module)
    for key, conv in convolutions(module):
        setattr(twin, key, torchs(conv))
    return twin


def train(module: Upsampler, steps: int = 3) -> list[Tensor]:
    """The outputs of a few steps of descent, and in the end of evaluation, then all parameters and buffers."""
    input = image(5, 4).requires_grad_()
    guide = guide_for(module, input)
    target = image(10, 8, channels=OUT_CHANNELS, seed=5)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    seen = []
    for _ in range(steps):
        output = module(input, guide)
        optimizer.zero_grad()
        (output - target).square().mean().backward()
        optimizer.step()
        seen.append(output.detach())
    return [*seen, module.eval()(input, guide).detach(), *module.state_dict().values()]


def same(actual: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


# ----------------------------------------------------------------------------------------------------------------------
# What is done to a convolution


class _LowRank(nn.Module):
    """A wrapper: what the layer did, and a learned addition to it."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        assert isinstance(base, nn.Conv2d | nn.ConvTranspose2d)
        self.gain = nn.Parameter(torch.full((base.out_channels, 1, 1), 0.3, dtype=torch.float64))

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = self.base(input)
        return output + self.gain * output.tanh()


class _Scaled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 0.5 * weight


def _replace(layer: nn.Module, key: str) -> None:
    setattr(layer, key, _LowRank(layer.get_submodule(key)))


def _own_forward(layer: nn.Module, key: str) -> None:
    conv = layer.get_submodule(key)
    plain = conv.forward
    conv.forward = lambda *inputs: 2 * plain(*inputs)


def _hooked(layer: nn.Module, key: str) -> None:
    conv = layer.get_submodule(key)
    conv.register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1, *inputs[1:]))
    conv.register_forward_hook(lambda _, __, output: 2 * output)
    conv.register_full_backward_hook(lambda _, gradients, __: tuple(None if g is None else 3 * g for g in gradients))
    conv.register_full_backward_pre_hook(lambda _, gradients: tuple(0.5 * g for g in gradients))


def _padding_mode(layer: nn.Module, key: str) -> None:
    conv = layer.get_submodule(key)
    if isinstance(conv, nn.Conv2d):  # the transposed one has no other
        conv.padding_mode = "circular"


def _mask(layer: nn.Module, key: str) -> None:
    conv = layer.get_submodule(key)
    prune.l1_unstructured(conv, "weight", 0.4)
    prune.ln_structured(conv, "weight", 0.3, n=2, dim=0)


def _no_bias(layer: nn.Module, key: str) -> None:
    layer.get_submodule(key).register_parameter("bias", None)


def _new_weight(layer: nn.Module, key: str) -> None:
    conv = layer.get_submodule(key)
    conv.weight = nn.Parameter(0.5 * conv.weight.detach())  # type: ignore[operator]


ALTERATIONS: dict[str, Callable[[nn.Module, str], Any]] = {
    "nothing": lambda layer, key: None,
    "hooks that change what they see": _hooked,
    "prune": _mask,
    "prune, removed": lambda layer, key: (_mask(layer, key), prune.remove(layer.get_submodule(key), "weight")),
    "weight_norm": lambda layer, key: weight_norm(layer.get_submodule(key)),
    "spectral_norm": lambda layer, key: spectral_norm(layer.get_submodule(key)),
    "parametrized weight_norm": lambda layer, key: parametrizations.weight_norm(layer.get_submodule(key)),
    "parametrized spectral_norm": lambda layer, key: parametrizations.spectral_norm(layer.get_submodule(key)),
    "any parametrization": lambda layer, key: parametrize.register_parametrization(
        layer.get_submodule(key), "weight", _Scaled()
    ),
    "padding_mode": _padding_mode,
    "a module around it": _replace,
    "a forward of its own": _own_forward,
    "bias taken away": _no_bias,
    "another weight": _new_weight,
    "frozen": lambda layer, key: layer.get_submodule(key).weight.requires_grad_(False),  # type: ignore[operator]
}


@pytest.mark.run
@variants
@pytest.mark.parametrize("alteration", ALTERATIONS)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_what_is_done_to_a_convolution_counts(name: str, options: dict[str, Any], alteration: str) -> None:
    module = build(name, **options)
    for _, conv in convolutions(module):
        if not conv.weight.any():  # type: ignore[operator]  # which has no norm to divide by
            nn.init.normal_(conv.weight, std=0.01)  # type: ignore[arg-type]
    twin = twin_of(module)
    for layer in (module, twin):
        for key, _ in [*convolutions(layer)]:
            torch.manual_seed(3)  # spectral_norm draws a vector
            ALTERATIONS[alteration](layer, key)
    assert [*module.state_dict()] == [*twin.state_dict()]
    same(train(module), train(twin))


@variants
@pytest.mark.parametrize("scale", SCALES)
def test_a_convolution_of_torchs_own_is_called(name: str, options: dict[str, Any], scale: int) -> None:
    module = build(name, scale, **options)
    twin = twin_of(module)
    calls: Counter[str] = Counter()
    for key, conv in convolutions(twin):
        conv.register_forward_hook(lambda *_, key=key: calls.update([key]))
    input = image(5, 4)
    guide = guide_for(module, input)
    same([twin(input, guide)], [module(input, guide)])
    assert calls == {key: 1 for key, _ in convolutions(module)}


# ----------------------------------------------------------------------------------------------------------------------
# What looks at a module


def parts_with_a_forward(module: nn.Module) -> dict[str, nn.Module]:
    return {key: part for key, part in module.named_modules() if not isinstance(part, nn.ModuleList | nn.ModuleDict)}


@variants
@pytest.mark.parametrize("algorithms", [None, NATIVE], ids=["custom", "native"])
@pytest.mark.parametrize("fold", ["auto", "always"])
def test_every_hook_of_every_part_runs(
    name: str, options: dict[str, Any], algorithms: Algorithms | None, fold: str
) -> None:
    module = build(name, algorithms=algorithms, fold=fold, **options)
    input = image(5, 4).requires_grad_()
    guide = guide_for(module, input)
    plain = module(input, guide)
    calls: Counter[tuple[str, str]] = Counter()
    parts = parts_with_a_forward(module)
    for key, part in parts.items():
        part.register_forward_pre_hook(lambda *_, key=key: calls.update([(key, "before")]))
        part.register_forward_hook(lambda *_, key=key: calls.update([(key, "after")]))
        part.register_full_backward_pre_hook(lambda *_, key=key: calls.update([(key, "before backward")]))
        part.register_full_backward_hook(lambda *_, key=key: calls.update([(key, "after backward")]))
    output = module(input, guide)
    output.sum().backward()
    same([output], [plain])
    moments = ("before", "after", "before backward", "after backward")
    assert calls == {(key, moment): 1 for key in parts for moment in moments}


@variants
def test_hooks_of_all_modules_run(name: str, options: dict[str, Any]) -> None:
    module = build(name, **options)
    input = image(5, 4)
    guide = guide_for(module, input)
    calls: Counter[nn.Module] = Counter()
    handle = of_all_modules.register_module_forward_hook(lambda part, *_: calls.update([part]))
    try:
        module(input, guide)
    finally:
        handle.remove()
    assert calls == dict.fromkeys(parts_with_a_forward(module).values(), 1)
    module(input, guide)
    assert sum(calls.values()) == len(calls), "a hook that is gone was called"


# ----------------------------------------------------------------------------------------------------------------------
# The weight that is applied


@pytest.mark.parametrize("alteration", [key for key in ALTERATIONS if key != "a module around it"])
@pytest.mark.parametrize("phase_equal", [False, True])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_applied_weight_is_that_of_the_next_call(alteration: str, phase_equal: bool) -> None:
    """Found from the responses to single pixels, after steps that leave the attribute `weight` behind."""
    module = build("deconv", kernel_size=4, phase_equal=phase_equal)
    ALTERATIONS[alteration](module, "conv")
    if alteration in ("a forward of its own", "hooks that change what they see"):
        pytest.skip("a function of the user's own: only calling it tells what it does")
    train(module.train(), 2)
    before = copy.deepcopy(module.state_dict())
    found = applied_weight(module.train().conv)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert all(part.training for part in module.modules())
    impulse = torch.zeros(8, 8, 3, 3, dtype=torch.float64)
    impulse[range(8), range(8), 1, 1] = 1
    with torch.no_grad():
        module.eval()  # spectral_norm iterates in training
        response = module(impulse) - module(torch.zeros_like(impulse))
    torch.testing.assert_close(response[:, :, 1:5, 1:5], found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5, 8])
def test_phase_equal_projects_what_a_hook_makes(kernel_size: int) -> None:
    module = build("deconv", kernel_size=kernel_size, phase_equal=True)
    prune.random_unstructured(module.conv, "weight", 0.5)
    taps = torch.arange(kernel_size) % 2
    weight = applied_weight(module.conv).detach()
    sums = torch.stack([weight[:, :, taps == a][..., taps == b].sum((-2, -1)) for a in (0, 1) for b in (0, 1)])
    torch.testing.assert_close(sums, sums[:1].expand_as(sums), rtol=1e-10, atol=1e-12)


def test_nothing_is_said_of_a_fold_that_is_not_taken() -> None:
    module = build("nearest")
    module.conv.register_forward_hook(lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module(image(4, 4))
