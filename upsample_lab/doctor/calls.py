"""A forward pass of anybody's model, with every upsampling operation in it shown as it happens.

The operation's output can be replaced, which is how the doctor tries a cure without changing a weight. The model is
left as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from upsample_lab.doctor.watcher import SiteWatcher, Visit
from upsample_lab.passport.watching import hookable_parts
from upsample_lab.settings import ConfigError

Inputs = Any  # a tensor, a tuple or list of arguments, or a dict of keyword arguments


def run_watched(model: nn.Module, inputs: Inputs, visit: Visit, notes: list[str] | None = None) -> Any:
    """The model's output for these inputs, with every upsampling call shown to `visit`, in order.

    What enlarges images in a way that is not known is added to `notes`, a sentence each.

    The model runs in evaluation mode, without gradients and with the same random numbers each time, and is left as it
    was. Raises ConfigError where it refuses the inputs.
    """
    arguments, named = as_arguments(inputs)
    watcher = SiteWatcher(visit)
    with _untouched(model), torch.no_grad(), _eager(model), _hooked(model, watcher), watcher:
        try:
            result = model(*arguments, **named)
        except Exception as error:
            if watcher.failed:
                raise  # our own measuring, not the model
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"inputs {_shapes(inputs)}: the model cannot take them: {reason}") from error
    if notes is not None:
        notes += watcher.notes
    return result


def as_arguments(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of a call: of a tensor, a tuple or list of them, or a dict of names."""
    if isinstance(inputs, dict):
        return (), inputs
    return (tuple(inputs), {}) if isinstance(inputs, tuple | list) else ((inputs,), {})


def _shapes(inputs: Inputs) -> str:
    if isinstance(inputs, dict):
        return ", ".join(f"{name} {_shapes(value)}" for name, value in inputs.items())
    shown = [list(x.shape) if isinstance(x, Tensor) else type(x).__name__ for x in as_arguments(inputs)[0]]
    return ", ".join(map(str, shown))


# ----------------------------------------------------------------------------------------------------------------------
# The model, left as it was


@contextmanager
def _hooked(model: nn.Module, watcher: SiteWatcher) -> Iterator[None]:
    handles = []
    for path, part in hookable_parts(model):
        handles.append(part.register_forward_pre_hook(lambda m, _, path=path: watcher.enter(path, m)))
        leave = part.register_forward_hook(watcher.leave, with_kwargs=True, always_call=True)
        handles.append(leave)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and the random numbers of a seed inside; modes, buffers and generators as before afterwards."""
    modes = {part: part.training for part in model.modules()}
    buffers = {buffer: buffer.clone() for buffer in model.buffers()}
    devices = sorted({t.get_device() for t in model.parameters() if t.is_cuda})
    try:
        with torch.inference_mode(False), torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            model.eval()
            yield
    finally:
        for part, training in modes.items():
            part.training = training
        with torch.no_grad():
            for buffer, value in buffers.items():
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


def _eager(model: nn.Module) -> AbstractContextManager[Any]:
    """Parts that torch.compile has made run as they were written: inside compiled code nothing is seen."""
    compiled = any(
        type(part).__name__ == "OptimizedModule" or part._compiled_call_impl is not None for part in model.modules()
    )
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
