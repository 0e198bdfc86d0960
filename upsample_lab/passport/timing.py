"""What a module costs: counted exactly, and timed on the device it is on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from upsample_lab.cost import call_if_differentiable, count_passes, differentiable, parameter_count
from upsample_lab.passport.isolation import cast, duplicate
from upsample_lab.passport.probe import Probe, first_line
from upsample_lab.passport.record import Cost, Timing

BATCH = 8
MAX_OUTPUT_PIXELS = 2**17  # of the timed batch: enough for a kernel's speed to show, little enough to be quick
BUDGET_SEC = 1.5  # for all timings of one module
MAX_ROUNDS = 25

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass
class TimedFormat:
    """A dtype and memory format, with its own copy of the module and its measured times in seconds."""

    dtype: torch.dtype
    memory_format: str
    module: Callable[[Tensor], Tensor]
    input: Tensor
    forward_sec: list[float]
    backward_sec: list[float]


def measure_cost(probe: Probe, on_part: Callable[[float], None] = lambda _: None) -> Cost:
    """Count and time `probe.module`; it is left in float32. Raises what the module raises in float32.

    Args:
        probe: what to call.
        on_part: is told the share of the work that is done, 0 to 1.
    """
    module = cast(probe.module, torch.float32)
    shape = batch_shape(probe)
    output_pixels = shape[0] * (probe.size * probe.scale) ** 2
    forward, backward = count_passes(probe.raw, torch.ones(shape, dtype=torch.float32, device=probe.device))
    on_part(0.2)
    timings, repeats = _timings(probe, module, shape, on_part)
    return Cost(
        parameter_count=parameter_count(module),
        trainable_count=parameter_count(module, trainable=True),
        input_shape=shape,
        macs_per_pixel=forward.macs / output_pixels,
        macs_per_pixel_formula=_formula(module, probe.size),
        backward_macs_per_pixel=backward.macs / output_pixels,
        bytes_moved=forward.bytes_moved,
        backward_bytes_moved=backward.bytes_moved,
        repeats=repeats,
        threads=torch.get_num_threads(),
        timings=timings,
    )


def batch_shape(probe: Probe) -> tuple[int, int, int, int]:
    """Of the images that are counted and timed: fewer of them where they become large."""
    count = max(1, min(BATCH, MAX_OUTPUT_PIXELS // (probe.size * probe.scale) ** 2))
    return count, probe.in_channels, probe.size, probe.size


def _formula(module: nn.Module, size: int) -> float | None:
    """`module.macs_per_pixel(height, width)`, of modules that have it."""
    formula = getattr(module, "macs_per_pixel", None)
    return float(formula(size, size)) if callable(formula) else None


def _timings(
    probe: Probe, module: nn.Module, shape: tuple[int, ...], on_part: Callable[[float], None]
) -> tuple[tuple[Timing, ...], int]:
    """Rounds over all variants in turn, so that a slow moment of the machine meets all of them alike.

    A slow module gets one round, which its first pass has warmed up for; a quick one as many as fit into the budget.
    """
    variants, timings = [], {}
    wanted = [(dtype, name) for dtype in _dtypes(probe.device) for name in FORMATS]
    for index, (dtype, name) in enumerate(wanted):
        try:
            variant = _variant(probe, module, shape, dtype, name)
            timings[dtype, name] = _peaks(variant)
            variants.append(variant)
        except Exception as error:  # whatever a third party's forward raises for a dtype that it does not know
            timings[dtype, name] = Timing(_name(dtype), name, None, None, None, None, first_line(error)[:100])
        on_part(0.2 + 0.5 * (index + 1) / len(wanted))
    rounds = 0
    started = time.perf_counter()
    while variants and rounds < MAX_ROUNDS and (rounds < 1 or time.perf_counter() - started < BUDGET_SEC):
        for index, variant in enumerate(variants):
            _time_once(variant)
            spent = (time.perf_counter() - started) / BUDGET_SEC
            on_part(0.7 + 0.3 * min(1.0, max(spent, (rounds + (index + 1) / len(variants)) / MAX_ROUNDS)))
        rounds += 1
    on_part(1.0)
    for variant in variants:
        timings[variant.dtype, variant.memory_format] = _median(variant, timings[variant.dtype, variant.memory_format])
    return tuple(timings.values()), rounds


def _dtypes(device: torch.device) -> tuple[torch.dtype, ...]:
    half = (torch.bfloat16, torch.float16) if device.type == "cuda" else (torch.bfloat16,)
    return (torch.float32, *half)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _variant(probe: Probe, module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, name: str) -> TimedFormat:
    twin = cast(duplicate(module), dtype)
    for parameter in twin.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=FORMATS[name])
    image = torch.ones(shape, dtype=dtype, device=probe.device).contiguous(memory_format=FORMATS[name])
    return TimedFormat(dtype, name, probe.of(twin), image, [], [])


def _peaks(variant: TimedFormat) -> Timing:
    """One pass each way, which is also the warm-up, watched for its memory."""
    if variant.input.is_cuda:
        forward_peak, backward_peak = _cuda_peaks(variant)
    else:
        forward, both = count_passes(variant.module, variant.input)
        forward_peak, backward_peak = forward.peak_bytes, both.peak_bytes
    return Timing(_name(variant.dtype), variant.memory_format, None, None, forward_peak, backward_peak)


def _cuda_peaks(variant: TimedFormat) -> tuple[int, int]:
    """What PyTorch's allocator handed out beyond what it held before, workspaces included."""
    peaks = []
    for with_backward in (False, True):
        image = differentiable(variant.input) if with_backward else variant.input.clone()
        torch.cuda.synchronize(variant.input.device)
        torch.cuda.reset_peak_memory_stats(variant.input.device)
        before = torch.cuda.memory_allocated(variant.input.device)
        with torch.set_grad_enabled(with_backward):
            if not with_backward:
                variant.module(image)
            elif (output := call_if_differentiable(variant.module, image)) is not None:
                output.backward(torch.ones_like(output))
                del output
        torch.cuda.synchronize(variant.input.device)
        peaks.append(torch.cuda.max_memory_allocated(variant.input.device) - before)
    return peaks[0], peaks[1]


def _time_once(variant: TimedFormat) -> None:
    image = variant.input.clone()
    with torch.no_grad():
        variant.forward_sec.append(_seconds(lambda: variant.module(image), image.device))
    with torch.enable_grad():
        output = call_if_differentiable(variant.module, differentiable(variant.input))
        if output is not None:
            gradient = torch.ones_like(output)
            variant.backward_sec.append(_seconds(lambda: output.backward(gradient), image.device))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _median(variant: TimedFormat, timing: Timing) -> Timing:
    return Timing(
        timing.dtype,
        timing.memory_format,
        1e3 * statistics.median(variant.forward_sec),
        1e3 * statistics.median(variant.backward_sec) if variant.backward_sec else None,
        timing.forward_peak_bytes,
        timing.backward_peak_bytes,
    )
