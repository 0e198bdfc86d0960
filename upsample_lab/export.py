"""Export: a layer or a whole model for where no Python is, for any batch, height and width.

    export_onnx(model, images, "model.onnx")        ONNX, checked against onnxruntime where that is installed
    export_program(model, images, "model.pt2")      torch.export's program
    export_aot(model, images, "model.pt2")          a library compiled by AOTInductor, where a C++ compiler is

The model is copied, put into evaluation mode, and its layers take the form that is cheapest there: nearest and its
convolution become one transposed convolution, bilinear and bicubic resizes are the runtime's own, and what a
parametrization or a projection makes of a weight is baked in. What is written gives the same numbers, and is compared
with the model before it takes the file's place.
"""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from upsample_lab.doctor.convert import to_conv_transpose
from upsample_lab.doctor.surgery import copied
from upsample_lab.models.base import Autoencoder
from upsample_lab.passport.watching import strided_tensors
from upsample_lab.runs.files import replacing
from upsample_lab.settings import ConfigError
from upsample_lab.upsamplers import UPSAMPLERS, Upsampler, build_upsampler
from upsample_lab.upsamplers.bicubic import Bicubic
from upsample_lab.upsamplers.bilinear import Bilinear
from upsample_lab.upsamplers.deconv import Deconv
from upsample_lab.upsamplers.nearest import Nearest

TOLERANCE = 1e-5
"""Of the largest output, or of 1 where all are smaller: what an exported model may differ by, in float32."""
AXES = ("batch", "height", "width")
COMPILERS = ("c++", "g++", "clang++")

RunExported = Callable[[tuple[Tensor, ...]], list[Tensor]]


@dataclass(frozen=True)
class Exported:
    """What was written.

    inputs, outputs   their shapes; a name is a size that is open, a number one that the model fixes
    operators         how many of each are in an ONNX graph; empty for the other forms
    error             the largest difference from the model, over the largest output or 1; None where nothing ran it
    checked           the shapes of the first input that were tried
    """

    path: Path
    inputs: tuple[tuple[int | str, ...], ...]
    outputs: tuple[tuple[int | str, ...], ...]
    operators: dict[str, int]
    error: float | None
    checked: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        lines = [f"{self.path}: {' '.join(map(_shape, self.inputs))} -> {' '.join(map(_shape, self.outputs))}"]
        if self.operators:
            lines.append("operators: " + ", ".join(f"{count} {name}" for name, count in self.operators.items()))
        sizes = ", ".join("x".join(map(str, shape)) for shape in self.checked)
        told = "not checked: onnxruntime is not installed (pip install 'upsample_lab[export]')"
        if self.error is not None:
            told = f"checked on {sizes}: differs by {self.error:.1e} of the largest output"
        return "\n".join([*lines, told])


def export_onnx(module: nn.Module, example_inputs: Tensor | Sequence[Tensor], path: str | Path) -> Exported:
    """Write the module as an ONNX model with open batch, height and width, and tell what became of it.

    Args:
        module: any module. It is left as it was.
        example_inputs: what it is called with, a tensor or several. Sizes that the module fixes by itself (a linear
            layer's) stay fixed, and `Exported.inputs` tells which.
        path: of the file, `*.onnx`.

    Raises ConfigError, a ValueError, in one line, and writes nothing: the exporter is missing, the module cannot be
    exported, or onnxruntime's answers differ by more than `TOLERANCE`.
    """
    _needs("onnxscript", "onnx")
    import onnx

    case = _Case(module, example_inputs, path, ".onnx")
    program = case.made(
        lambda: torch.onnx.export(case.module, case.inputs, dynamo=True, verbose=False, dynamic_shapes=case.names())
    )
    with replacing(case.path) as temporary:
        program.save(temporary)
        graph = onnx.load(temporary, load_external_data=False).graph
        shapes = [tuple(_dimensions(value) for value in values) for values in (graph.input, graph.output)]
        run = _onnxruntime(temporary)
        error, checked = (None, []) if run is None else case.compared(run, shapes[0])
    operators = dict(sorted(Counter(node.op_type for node in graph.node).items()))
    return Exported(case.path, shapes[0], shapes[1], operators, error, tuple(checked))


def _onnxruntime(path: Path) -> RunExported | None:
    """What runs the file, or None where onnxruntime is not installed."""
    try:
        from onnxruntime import InferenceSession
    except ImportError:
        return None
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(inputs: tuple[Tensor, ...]) -> list[Tensor]:
        given = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, given)]

    return run


def export_program(module: nn.Module, example_inputs: Tensor | Sequence[Tensor], path: str | Path) -> Exported:
    """The same as torch.export's program, `*.pt2`: `torch.export.load(path).module()` runs it. See `export_onnx`."""
    case = _Case(module, example_inputs, path, ".pt2")
    program = case.program()
    with replacing(case.path) as temporary:
        with temporary.open("wb") as file, _quietly():
            torch.export.save(program, file)
        with temporary.open("rb") as file:
            loaded = torch.export.load(file).module()
        return case.exported(program, lambda inputs: strided_tensors(loaded(*inputs)))


def export_aot(module: nn.Module, example_inputs: Tensor | Sequence[Tensor], path: str | Path) -> Exported:
    """The same compiled by AOTInductor, `*.pt2`: `torch._inductor.aoti_load_package(path)` runs it, as C++ does.

    It takes minutes, and a C++ compiler: without one ConfigError. See `export_onnx`.
    """
    if not any(map(shutil.which, COMPILERS)):
        raise ConfigError(f"export: to=aot needs a C++ compiler, one of {', '.join(COMPILERS)}")
    case = _Case(module, example_inputs, path, ".pt2")
    program = case.program()
    with replacing(case.path) as temporary:
        package = temporary.with_suffix(".pt2")  # the only ending that it takes
        try:
            case.made(lambda: torch._inductor.aoti_compile_and_package(program, package_path=str(package)))
            loaded = torch._inductor.aoti_load_package(str(package))
            told = case.exported(program, lambda inputs: strided_tensors(loaded(*inputs)))
            package.replace(temporary)
        finally:
            package.unlink(missing_ok=True)
        return told


FORMATS: dict[str, tuple[Callable[..., Exported], str]] = {
    "onnx": (export_onnx, ".onnx"),
    "torch": (export_program, ".pt2"),
    "aot": (export_aot, ".pt2"),
}


# ----------------------------------------------------------------------------------------------------------------------
# The form that a layer takes


@torch.no_grad()
def deployed(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode, whose layers have the form that they are exported in."""
    module = copied(module, "export").eval()
    for part in list(module.modules()):
        if is_parametrized(part):
            for name in list(part.parametrizations):  # type: ignore[arg-type]  # a ModuleDict's keys
                remove_parametrizations(part, name)
    if (form := _form(module)) is not None:
        return form
    for part in list(module.modules()):
        for name, child in part.named_children():
            if (form := _form(child)) is not None:
                setattr(part, name, form)
    return module


class Decoding(nn.Module):
    """The decoder of an autoencoder as a module: `[N, *latent_shape] -> [N, C, H, W]`."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor) -> Tensor:
        return self.model.decode(latent)


class Deployed(Upsampler):
    """A layer's other form in its place: called, and asked, as the layer is."""

    def __init__(self, upsampler: Upsampler, layer: nn.Module) -> None:
        super().__init__(upsampler.in_channels, upsampler.out_channels, upsampler.scale)
        self.layer = layer

    def forward(self, input: Tensor, guide: Tensor | None = None) -> Tensor:
        output: Tensor = self.layer(input)
        return output


def _form(module: nn.Module) -> Deployed | None:
    """The form of one of our layers, where it has another than its definition and nobody watches the difference."""
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    if not isinstance(module, Upsampler) or hooked:
        return None
    if type(module) is Deconv and module.phase_equal:
        return Deployed(module, to_conv_transpose(module))
    if type(module) not in (Nearest, Bilinear, Bicubic):
        return None
    assert isinstance(module, Nearest | Bilinear | Bicubic)
    if isinstance(module, Nearest) and module.order == "resize_first" and module.fold != "never":
        return Deployed(module, to_conv_transpose(module))
    mode = type(module).__name__.lower()
    parts = [nn.Upsample(scale_factor=module.scale, mode=mode), module.conv]
    return Deployed(module, nn.Sequential(*(parts if module.order == "resize_first" else parts[::-1])))


# ----------------------------------------------------------------------------------------------------------------------
# One export


class _Case:
    """A module in its form for export, inputs of at least two images, and a path."""

    def __init__(self, module: nn.Module, inputs: Tensor | Sequence[Tensor], path: str | Path, suffix: str) -> None:
        self.path = Path(path)
        if self.path.suffix != suffix:
            raise ConfigError(f"export: {self.path}: must end in {suffix}")
        given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        if not given or not all(isinstance(value, Tensor) and value.dim() for value in given):
            raise ConfigError("export: example_inputs must be a tensor, or several, each with a batch axis")
        self.original = copied(module, "export").eval()
        self.module = deployed(module)
        # An axis of one is recorded as one for ever: an example of one image is doubled.
        self.inputs = tuple(torch.cat([value, value]) if len(value) == 1 else value for value in given)
        self._answers(self.inputs)
        self.any_size = True
        try:  # sizes that the model refuses, or that it takes for the example's alone, are left as they are
            self._answers(self._enlarged((1, 2, 3)))
        except ConfigError:
            self.any_size = False
        self.path.parent.mkdir(parents=True, exist_ok=True)

    @torch.no_grad()
    def _answers(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        try:
            return strided_tensors(self.original(*inputs))
        except Exception as error:
            shapes = ", ".join(str(list(value.shape)) for value in inputs)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"export: example_inputs {shapes}: the model cannot take them: {reason}") from error

    def _enlarged(self, factors: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """The inputs repeated along batch, height and width, and no two copies the same."""
        generator = torch.Generator().manual_seed(0)
        made = []
        for value in self.inputs:
            larger = (
                value.repeat(*factors[:1], 1, *factors[1:]) if value.dim() == 4 else torch.cat([value] * factors[0])
            )
            if value.is_floating_point():
                larger = larger * torch.rand(larger.shape, generator=generator).to(larger)
            made.append(larger)
        return tuple(made)

    def _axes(self, value: Tensor) -> dict[int, str]:
        return dict(zip((0, 2, 3) if value.dim() == 4 and self.any_size else (0,), AXES, strict=False))

    def names(self) -> tuple[dict[int, str], ...]:
        """Of the axes that are open; those of a second input have names of their own, equal sizes or not."""
        several = [("", self.inputs[0]), *((f"_{i}", value) for i, value in enumerate(self.inputs[1:], 2))]
        return tuple({axis: name + end for axis, name in self._axes(value).items()} for end, value in several)

    def program(self) -> Any:
        open_axes = tuple(dict.fromkeys(self._axes(value), Dim.AUTO) for value in self.inputs)
        return self.made(lambda: torch.export.export(self.module, self.inputs, dynamic_shapes=open_axes))

    def made(self, make: Callable[[], Any]) -> Any:
        """What the exporter makes, or its complaint in one line."""
        try:
            with torch.no_grad(), _quietly():
                return make()
        except Exception as error:
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            line = next((line.strip() for line in str(cause).splitlines() if line.strip()), "no message")
            told = f"{type(self.original).__name__}: {type(cause).__name__}: {line}"
            raise ConfigError(f"export: {told}") from error

    def exported(self, program: Any, run: RunExported) -> Exported:
        nodes = {node.name: node for node in program.graph.nodes}
        signature = program.graph_signature
        shapes = [
            tuple(tuple(_size(side) for side in nodes[name].meta["val"].shape) for name in names if name in nodes)
            for names in (signature.user_inputs, signature.user_outputs)
        ]
        error, checked = self.compared(run, shapes[0])
        return Exported(self.path, shapes[0], shapes[1], {}, error, tuple(checked))

    def compared(
        self, run: RunExported, shapes: Sequence[tuple[int | str, ...]]
    ) -> tuple[float, list[tuple[int, ...]]]:
        """The largest difference over the example, and over other sizes of the axes that came out open."""
        worst = 0.0
        checked = []
        batches = 2 if isinstance(shapes[0][0], str) else 1
        open_sizes = any(isinstance(side, str) for shape in shapes for side in shape[2:])
        more = ((batches, 2, 3), (1, 3, 2)) if open_sizes else ((batches, 1, 1),)
        for factors in ((1, 1, 1), *more):
            inputs = self.inputs if factors == (1, 1, 1) else self._enlarged(factors)
            for found, expected in zip(self.made(partial(run, inputs)), self._answers(inputs), strict=True):
                if expected.numel():
                    whole = max(1.0, float(expected.abs().max()))
                    worst = max(worst, float((found - expected).abs().max()) / whole)
            checked.append(tuple(inputs[0].shape))
        if not worst <= TOLERANCE:
            raise ConfigError(
                f"export: what was exported differs from the model by {worst:.1e} of the largest output, more than "
                f"{TOLERANCE:.0e}; nothing is written"
            )
        return worst, checked


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporters' own warnings, of names that they choose and of their insides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _dimensions(value: Any) -> tuple[int | str, ...]:
    """Of a value of an ONNX graph."""
    return tuple(side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim)


def _size(side: Any) -> int | str:
    return side if isinstance(side, int) else str(side)


def _shape(sides: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, sides))}]"


def _needs(*packages: str) -> None:
    from importlib.util import find_spec

    if missing := [name for name in packages if find_spec(name) is None]:
        raise ConfigError(f"export: needs {' and '.join(missing)}: pip install 'upsample_lab[export]'")


# ----------------------------------------------------------------------------------------------------------------------
# The documentation's table


PLUMBING = ("Cast", "Concat", "ConstantOfShape", "Expand", "Range", "Reshape", "Shape", "Slice", "Squeeze", "Unsqueeze")
"""Operators that work out sizes and arrange pixels."""


def registry_table(folder: Path) -> str:
    """Which layer is exported to what, each upsampler with its defaults, written into the folder and compared there."""
    head = ("layer", "nodes", "of which compute", "open axes", "sizes compared")
    rows = []
    for name in UPSAMPLERS:
        told = export_onnx(*registry_case(name), folder / f"{name}.onnx")
        computing = {key: count for key, count in told.operators.items() if key not in PLUMBING}
        nodes = ", ".join(operator if count == 1 else f"{count} {operator}" for operator, count in computing.items())
        axes = ", ".join(str(side) for side in told.inputs[0] if isinstance(side, str))
        rows.append((f"`{name}`", str(sum(told.operators.values())), nodes, axes, str(len(told.checked))))
    table = "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))
    return f"By {exporters()}:\n\n{table}"


def exporters() -> str:
    """The versions that decide which operators there are."""
    return " and ".join(f"{name} {version(name).split('+')[0]}" for name in ("torch", "onnxscript"))


def registry_case(name: str) -> tuple[Upsampler, tuple[Tensor, ...]]:
    """A small instance of an upsampler, and inputs for it."""
    torch.manual_seed(0)
    upsampler, image = build_upsampler(name, 8, 4), torch.randn(2, 8, 6, 5)
    if not upsampler.needs_guide:
        return upsampler, (image,)
    return upsampler, (image, torch.nn.functional.max_pool2d(torch.randn(2, 4, 12, 10), 2, return_indices=True)[1])
