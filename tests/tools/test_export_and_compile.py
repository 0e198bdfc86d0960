"""Convolutions and resize under strict export, onnxruntime and torch.compile; and as modules that torch alters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from upsample_lab.conv import Conv2d, ConvTranspose2d
from upsample_lab.resize import resize


class Resize(nn.Module):
    def __init__(self, **how: object) -> None:
        super().__init__()
        self.how = how

    def forward(self, input: Tensor) -> Tensor:
        return resize(input, **self.how)  # type: ignore[arg-type]


SUBJECTS: dict[str, Callable[[], nn.Module]] = {
    "conv custom": lambda: Conv2d(4, 6, 3, padding=1, algorithm="custom"),
    "conv im2col": lambda: Conv2d(4, 6, 3, stride=2, padding=1, algorithm="im2col"),
    "conv native": lambda: Conv2d(4, 6, 3, padding=1, bias=False, algorithm="native"),
    "transposed custom": lambda: ConvTranspose2d(4, 6, 4, stride=2, padding=1, algorithm="custom"),
    "transposed col2im": lambda: ConvTranspose2d(4, 6, 3, stride=2, padding=1, bias=False, algorithm="col2im"),
    "transposed polyphase": lambda: ConvTranspose2d(4, 6, 5, stride=3, algorithm="polyphase"),
    "resize nearest": lambda: Resize(scale=2),
    "resize bilinear": lambda: Resize(scale=3, mode="bilinear"),
    "resize bicubic": lambda: Resize(scale=2, mode="bicubic"),
    "resize corners": lambda: Resize(scale=2, mode="bilinear", align_corners=True),
}


def case(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return SUBJECTS[name]().eval(), torch.randn(2, 4, 10, 9)


@pytest.mark.run
@pytest.mark.parametrize("name", SUBJECTS)
def test_strict_export_gives_the_same(name: str) -> None:
    module, x = case(name)
    exported = torch.export.export(module, (x,), strict=True).module()
    torch.testing.assert_close(exported(x), module(x))


@pytest.mark.run
@pytest.mark.parametrize("name", SUBJECTS)
def test_onnxruntime_gives_the_same(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    module, x = case(name)
    torch.onnx.export(module, (x,), tmp_path / "one.onnx", dynamo=True, verbose=False)
    session = runtime.InferenceSession(tmp_path / "one.onnx")
    (output,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(output), module(x), rtol=1e-5, atol=1e-5)


@pytest.mark.run
@pytest.mark.parametrize("name", ["conv custom", "transposed custom", "resize bilinear", "resize nearest"])
def test_compile_gives_the_same_for_several_sizes(name: str) -> None:
    module, x = case(name)
    compiled = torch.compile(module, dynamic=True, backend="aot_eager")
    for input in (x, torch.randn(3, 4, 12, 14)):
        torch.testing.assert_close(compiled(input), module(input))


ALTERATIONS: dict[str, Callable[[nn.Module], object]] = {
    "pruned": lambda module: prune.l1_unstructured(module, "weight", amount=0.5),
    "weight norm": lambda module: parametrizations.weight_norm(module),
    "spectral norm": lambda module: parametrizations.spectral_norm(module),
    "hook": lambda module: module.register_forward_hook(lambda module, inputs, output: 2 * output),
    "pre-hook": lambda module: module.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,)),
}
MODULES = [name for name in SUBJECTS if name.startswith(("conv", "transposed"))]


@pytest.mark.parametrize("alteration", ALTERATIONS)
@pytest.mark.parametrize("name", MODULES)
def test_an_altered_module_trains_as_torchs_own(name: str, alteration: str) -> None:
    module, x = case(name)
    ours = module.double().train()
    kind = nn.ConvTranspose2d if isinstance(ours, nn.ConvTranspose2d) else nn.Conv2d
    torchs = kind(4, 6, ours.kernel_size, ours.stride, ours.padding, bias=ours.bias is not None, dtype=torch.float64)  # type: ignore[arg-type]
    torchs.load_state_dict(copy.deepcopy(ours.state_dict()))
    outputs = []
    for layer in (ours, torchs):
        torch.manual_seed(1)
        ALTERATIONS[alteration](layer)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            layer(x.double()).square().mean().backward()
            optimizer.step()
        outputs.append(layer(x.double()))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-10, atol=1e-10)
