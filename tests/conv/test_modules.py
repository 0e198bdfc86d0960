"""`Conv2d` and `ConvTranspose2d` beside torch.nn's: the same but for the algorithm."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from upsample_lab.conv import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, Conv2d, ConvTranspose2d

PAIRS = [(Conv2d, nn.Conv2d, name) for name in CONV2D_ALGORITHMS] + [
    (ConvTranspose2d, nn.ConvTranspose2d, name) for name in CONV_TRANSPOSE2D_ALGORITHMS
]
IDS = [f"{ours.__name__}-{name}" for ours, _, name in PAIRS]
CONSTRUCTIONS = [
    (4, 6, 3),
    (4, 6, (3, 2), 2, 1),
    {"in_channels": 4, "out_channels": 6, "kernel_size": 4, "stride": (2, 1), "padding": 1, "groups": 2, "bias": False},
    {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "dilation": 2, "groups": 4, "dtype": torch.float64},
]


def make(cls, arguments, **more):
    return cls(**arguments, **more) if isinstance(arguments, dict) else cls(*arguments, **more)


@pytest.mark.parametrize(("ours", "torchs", "algorithm"), PAIRS, ids=IDS)
@pytest.mark.parametrize("arguments", CONSTRUCTIONS, ids=["short", "positional", "keywords", "depthwise"])
def test_like_torch_nn(ours, torchs, algorithm, arguments) -> None:
    torch.manual_seed(3)
    custom = make(ours, arguments, algorithm=algorithm)
    torch.manual_seed(3)
    native = make(torchs, arguments)
    for key, value in native.state_dict().items():
        assert torch.equal(value, custom.state_dict()[key]), "the initialisation differs"
    attributes = {k: v for k, v in vars(native).items() if not k.startswith("_")}
    assert {k: v for k, v in vars(custom).items() if not k.startswith("_")} == attributes | {"algorithm": algorithm}
    assert repr(custom) == repr(native)[:-1] + f", algorithm={algorithm})"
    x = torch.randn(2, 4, 9, 8, dtype=native.weight.dtype)
    torch.testing.assert_close(custom(x), native(x))
    torch.testing.assert_close(custom(x[0]), native(x[0]))


@pytest.mark.parametrize(("ours", "torchs", "algorithm"), PAIRS, ids=IDS)
def test_weights_go_both_ways_and_take_effect_at_once(ours, torchs, algorithm) -> None:
    custom, native = ours(3, 3, 3, algorithm=algorithm), torchs(3, 3, 3)
    x = torch.randn(1, 3, 6, 6)
    custom(x)
    custom.load_state_dict(native.state_dict(), strict=True)
    torch.testing.assert_close(custom(x), native(x))
    with torch.no_grad():
        custom.weight.mul_(2)
    native.load_state_dict(custom.state_dict(), strict=True)
    torch.testing.assert_close(custom(x), native(x))
    custom.double(), native.double()
    torch.testing.assert_close(custom(x.double()), native(x.double()))


@pytest.mark.parametrize(("ours", "torchs", "algorithm"), PAIRS, ids=IDS)
def test_copies_and_pickles(ours, torchs, algorithm) -> None:
    layer = ours(3, 2, 3, stride=2, algorithm=algorithm)
    x = torch.randn(1, 3, 7, 7)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(file, weights_only=False)):
        assert other.algorithm == algorithm
        assert other.weight is not layer.weight
        assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize("algorithm", CONV2D_ALGORITHMS)
@pytest.mark.parametrize("padding", [(1, 2), "same"])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_modes(algorithm, mode, padding) -> None:
    native = nn.Conv2d(2, 3, (3, 4), padding=padding, padding_mode=mode)
    custom = Conv2d(2, 3, (3, 4), padding=padding, padding_mode=mode, algorithm=algorithm)
    custom.load_state_dict(native.state_dict())
    x = torch.randn(2, 2, 6, 7)
    torch.testing.assert_close(custom(x), native(x))
    assert repr(custom) == repr(native)[:-1] + f", algorithm={algorithm})"


def test_the_transposed_module_pads_with_zeros_only() -> None:
    with pytest.raises(ValueError, match="padding"):
        ConvTranspose2d(1, 1, 3, padding_mode="reflect")


@pytest.mark.parametrize("algorithm", CONV_TRANSPOSE2D_ALGORITHMS)
def test_output_size_overrides_output_padding(algorithm) -> None:
    layer = ConvTranspose2d(2, 3, 3, stride=3, padding=1, output_padding=1, algorithm=algorithm)
    native = nn.ConvTranspose2d(2, 3, 3, stride=3, padding=1, output_padding=1)
    native.load_state_dict(layer.state_dict())
    x = torch.randn(2, 2, 4, 5)
    smallest = (3 * 3 - 2 + 3, 4 * 3 - 2 + 3)
    for more in range(3):
        size = [smallest[0] + more, smallest[1] + 2 - more]
        assert layer(x, output_size=size).shape[2:] == tuple(size)
        torch.testing.assert_close(layer(x, size), native(x, size))
        torch.testing.assert_close(layer(x, torch.Size((2, 3, *size))), native(x, torch.Size((2, 3, *size))))
    for wrong in ([smallest[0] - 1, smallest[1]], [smallest[0], smallest[1] + 3], [smallest[0]]):
        with pytest.raises(ValueError, match=r"output_size|output size"):
            layer(x, output_size=wrong)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"groups": 3}, "divisible by groups"),
        ({"padding": "wide"}, "padding"),
        ({"padding": "same", "stride": 2}, "strided"),
        ({"padding_mode": "odd"}, "padding_mode"),
    ],
)
def test_torch_nns_own_refusals_remain(arguments, named) -> None:
    for cls in (nn.Conv2d, Conv2d):
        with pytest.raises(ValueError, match=named):
            cls(4, 4, 3, **arguments)
