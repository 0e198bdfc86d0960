"""Convolution modules and `resize` under the tools of PyTorch: each cell is equal to torch's own layer or function.

The upsamplers have the same table in `tests/upsamplers/test_tools.py`.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.func import functional_call, jacfwd, jvp, linearize, stack_module_state, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from tests.conftest import by_tier
from upsample_lab.conv import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, Conv2d, ConvTranspose2d
from upsample_lab.resize import DENSE_SIZE, resize


class Subject(NamedTuple):
    """A module and a twin made of PyTorch's own functions, with the same parameters."""

    module: nn.Module
    reference: nn.Module
    height: int = 5


class Resize(nn.Module):
    def __init__(self, function: Callable[..., Tensor], **options: Any) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((3, 1, 1), 0.7, dtype=torch.float64))
        self.function, self.options = function, options

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x * self.gain, **self.options)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def interpolate(x: Tensor, scale: Any = None, **options: Any) -> Tensor:
    aligned = None if options["mode"] == "nearest" else options.pop("align_corners", False)
    single = x.unsqueeze(0) if x.dim() == 3 else x
    result = F.interpolate(single, scale_factor=scale, align_corners=aligned, **options)
    return result.squeeze(0) if x.dim() == 3 else result


def convolution(transposed: bool, algorithm: str, **options: Any) -> Subject:
    mine: Any = ConvTranspose2d if transposed else Conv2d
    theirs: Any = nn.ConvTranspose2d if transposed else nn.Conv2d
    module = mine(3, 6, 3, algorithm=algorithm, **options).double()
    reference = theirs(3, 6, 3, **options).double()
    reference.load_state_dict(module.state_dict())
    return Subject(module, reference)


SUBJECTS: dict[str, Callable[[], Subject]] = {}
for _algorithm in CONV2D_ALGORITHMS:
    for _name, _options in {
        "": {"stride": 2, "padding": 1},
        " no bias": {"bias": False},
        " groups": {"groups": 3, "dilation": 2, "padding": 2},
    }.items():
        SUBJECTS[f"Conv2d {_algorithm}{_name}"] = lambda a=_algorithm, o=_options: convolution(False, a, **o)
for _algorithm in CONV_TRANSPOSE2D_ALGORITHMS:
    for _name, _options in {
        "": {"stride": 2, "padding": 1, "output_padding": 1},
        " no bias": {"stride": 2, "padding": 1, "bias": False},
        " groups": {"groups": 3, "dilation": 2, "padding": 1},
    }.items():
        SUBJECTS[f"ConvTranspose2d {_algorithm}{_name}"] = lambda a=_algorithm, o=_options: convolution(True, a, **o)
for _mode, _aligned, _antialias in (
    ("nearest", False, False),
    ("bilinear", False, False),
    ("bicubic", False, False),
    ("bilinear", True, False),
    ("bicubic", True, False),
    ("bilinear", False, True),
    ("bicubic", False, True),
):
    for _kind, _how in {"scale 2": {"scale": 2}, "scale 1.6": {"scale": 1.6}, "size": {"size": (7, 3)}}.items():
        for _height in (5, DENSE_SIZE + 4) if _kind == "scale 2" and not _antialias else (5,):
            _all: dict[str, Any] = {**_how, "mode": _mode}
            if _aligned:
                _all["align_corners"] = True
            if _antialias:
                _all["antialias"] = True
            _label = f"resize {_mode}{' corners' * _aligned}{' antialias' * _antialias} {_kind} {_height}"
            SUBJECTS[_label] = lambda o=_all, h=_height: Subject(Resize(resize, **o), Resize(interpolate, **o), h)


def inputs(subject: Subject, batch: int = 2, height: int | None = None, width: int = 4) -> Tensor:
    return random(batch, 3, height or subject.height, width, seed=1)


def same(found: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    assert type(found) is Tensor
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def export(subject: Subject) -> None:
    x = inputs(subject)
    same(torch.export.export(subject.module, (x,)).module()(x), subject.reference(x))


def fake(subject: Subject) -> None:
    x = inputs(subject)
    with FakeTensorMode() as mode:
        parameters = {key: mode.from_tensor(value) for key, value in subject.module.named_parameters()}
        output = functional_call(subject.module, parameters, (mode.from_tensor(x),))
    assert output.shape == subject.reference(x).shape


def recorded(subject: Subject) -> None:
    x, parameters = inputs(subject), dict(subject.module.named_parameters())
    for mode in ("real", "fake"):
        graph = make_fx(lambda p, a: functional_call(subject.module, p, (a,)), tracing_mode=mode)(parameters, x)
        same(graph(parameters, 2 * x + 1), subject.reference(2 * x + 1))


def meta(subject: Subject) -> None:
    x = inputs(subject).to("meta").requires_grad_()
    output = copy.deepcopy(subject.module).to("meta")(x)
    output.sum().backward()
    assert (output.device.type, output.shape) == ("meta", subject.reference(inputs(subject)).shape)


def vmap_over_images(subject: Subject) -> None:
    x = inputs(subject, 6)
    same(vmap(subject.module)(x), subject.reference(x))
    same(vmap(subject.module)(x.unflatten(0, (3, 2))).flatten(0, 1), subject.reference(x))


def vmap_over_modules(subject: Subject) -> None:
    pair = [subject.module, copy.deepcopy(subject.module)]
    twins = [subject.reference, copy.deepcopy(subject.reference)]
    with torch.no_grad():
        for module in (pair[1], twins[1]):
            for parameter in module.parameters():
                parameter.mul_(0.5)
    x, state = inputs(subject), stack_module_state(pair)
    found = vmap(lambda p, b: functional_call(subject.module, (p, b), (x,)))(*state)
    same(found, torch.stack([twin(x) for twin in twins]))


def forward_mode(subject: Subject) -> None:
    x, tangent = inputs(subject, 1), random(1, 3, subject.height, 4, seed=8)
    expected = torch.autograd.functional.jvp(subject.reference, x, tangent)[1]
    same(jvp(subject.module, (x,), (tangent,))[1], expected)
    same(linearize(subject.module, x)[1](tangent), expected)
    jacobian = jacfwd(subject.module)(x)
    same(torch.einsum("abcdefgh,efgh->abcd", jacobian, tangent), expected)
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(subject.module(forward_ad.make_dual(x, tangent)))
        assert dual.tangent is not None
        same(dual.tangent, expected)


def twice_backward(subject: Subject) -> None:
    x = inputs(subject, 1).requires_grad_()
    assert torch.autograd.gradgradcheck(subject.module, x, fast_mode=True)


def in_place(subject: Subject) -> None:
    x = inputs(subject).requires_grad_()
    found, expected = subject.module(x).mul_(3).relu_(), subject.reference(x).mul(3).relu()
    same(found, expected)
    ours = torch.autograd.grad(found.square().sum(), (x, *subject.module.parameters()))
    theirs = torch.autograd.grad(expected.square().sum(), (x, *subject.reference.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        same(one, other)


def empty_batch(subject: Subject) -> None:
    output = subject.module(inputs(subject)[:0].requires_grad_())
    assert output.shape == (0, *subject.reference(inputs(subject)).shape[1:])
    output.sum().backward()


def one_image(subject: Subject) -> None:
    x = inputs(subject)[0]
    same(subject.module(x), subject.reference(x))


def inference(subject: Subject) -> None:
    x = inputs(subject)
    with torch.inference_mode():
        output = subject.module(x)
    same(output.clone(), subject.reference(x))
    subject.module(x.requires_grad_()).sum().backward()


def default_float64(subject: Subject) -> None:
    module, reference, x = subject.module.float(), subject.reference.float(), inputs(subject).float()
    torch.set_default_dtype(torch.float64)
    try:
        found = module(x)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    same(found, reference(x), 1e-4)


def default_device(subject: Subject) -> None:
    x = inputs(subject)
    with torch.device("meta"):
        found = subject.module(x)
    same(found, subject.reference(x))


def autocast(subject: Subject) -> None:
    """Convolutions are rounded as torch rounds them; resizing is not rounded."""
    module, reference, x = subject.module.float(), subject.reference.float(), inputs(subject).float()
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=dtype):
            found, expected = module(x), reference(x)
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def pickled(subject: Subject) -> None:
    x = inputs(subject)
    for twin in (copy.deepcopy(subject.module), pickle.loads(pickle.dumps(subject.module))):
        same(twin(x), subject.reference(x))


def threads(subject: Subject) -> None:
    x = inputs(subject)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: subject.module(x), range(8)):
            same(found, subject.reference(x))


def jit_trace(subject: Subject) -> None:
    x = inputs(subject)
    same(torch.jit.trace(subject.module, (x,), check_trace=False)(x), subject.reference(x))


TOOLS: dict[str, Callable[[Subject], None]] = {
    "export": export,
    "fake tensors": fake,
    "make_fx": recorded,
    "meta": meta,
    "vmap, images": vmap_over_images,
    "vmap, modules": vmap_over_modules,
    "forward mode": forward_mode,
    "double backward": twice_backward,
    "in place": in_place,
    "empty batch": empty_batch,
    "one image": one_image,
    "inference mode": inference,
    "default float64": default_float64,
    "default device": default_device,
    "autocast": autocast,
    "pickle": pickled,
    "threads": threads,
    "torch.jit.trace": jit_trace,
}


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("tool", by_tier(TOOLS, run={"export", "make_fx", "forward mode"}))
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_function_under_a_tool(tool: str, name: str) -> None:
    subject = SUBJECTS[name]()
    TOOLS[tool](subject)
    subject = SUBJECTS[name]()
    same(subject.module(inputs(subject)), subject.reference(inputs(subject)))


COLD = """
import sys
from tests.tools import test_every_function as table
for make in table.SUBJECTS.values():
    subject = make()
    table.TOOLS[sys.argv[1]](subject)
    x = table.inputs(subject)
    table.same(subject.module(x), subject.reference(x))
"""


@pytest.mark.process
@pytest.mark.parametrize("tool", ["fake tensors", "vmap, images"])
def test_a_tool_comes_first_in_a_fresh_process(tool: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-W", "ignore", "-c", COLD, tool], check=True, env=environment, timeout=300)
