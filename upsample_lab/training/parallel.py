"""Several processes that train one run together: each takes an equal part of every batch, and the first one writes.

All hold the same weights and take the same steps. What must be the same everywhere and cannot be computed everywhere
(which checkpoint to go on from, whether a validation failed, whether to stop) is decided by the first and shared.
"""

from __future__ import annotations

import atexit
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]  # documented, but not in __all__
from torch.distributed.rendezvous import rendezvous

from upsample_lab.options.trainer import TrainerOptions
from upsample_lab.runs.checkpoint import DamagedCheckpoint, MissingCheckpoint
from upsample_lab.settings import ConfigError
from upsample_lab.training.failure import TrainingFailed
from upsample_lab.training.ranks import Ranks
from upsample_lab.training.stopping import SIGNALS, StopRequest

T = TypeVar("T")

SHARED_ERRORS = (ConfigError, TrainingFailed, DamagedCheckpoint, MissingCheckpoint)
"""What the first process may raise in the others' name; anything else ends it, and the others lose a peer."""
PATIENCE = timedelta(hours=2)
"""How long the others wait for the first one's downloads and validations. A process that dies is noticed at once."""
MEETING_TIMEOUT = timedelta(minutes=15)
"""How long processes wait for each other at the start, where a busy machine imports PyTorch at different speeds."""
MEETING_POLL_SEC = 0.05
START_KEY = "upsample_lab/start"
CUDA_STEPS_PER_STOP_CHECK = 16
"""Reading the stop flags waits for the device, so it is not done at each step there; on the CPU it costs nothing."""


class PeerLost(ConfigError):
    """Another process of the run has gone. The message is one line."""

    exit_status = 1


class World:
    """The processes of a run as one of them sees them. Alone, by default, every method does the obvious for nothing."""

    def __init__(self, ranks: Ranks | None = None) -> None:
        self.ranks = ranks or Ranks()
        self.rank, self.size = self.ranks.rank, self.ranks.size
        self.is_writer = self.ranks.is_writer
        self.stop: StopRequest = StopRequest() if self.size == 1 else SharedStopRequest()
        self.broken = False  # left by an error that the others do not share: nobody is to be waited for
        self._averaged_steps = 0

    def device(self, name: str) -> str:
        """`trainer.device` for this process."""
        return name if self.size == 1 else own_device(name, self.ranks)

    def check(self, trainer: TrainerOptions, image_count: int) -> None:
        """Raise `ConfigError` for what several processes cannot do together."""
        if self.size == 1:
            return
        check_parts(trainer.batch_size, image_count, self.size)
        if trainer.compile:
            raise ConfigError("trainer.compile=true: not under torchrun; use trainer.compile=false")

    # ---- Decisions ---------------------------------------------------------------------------------------------------

    def on_writer(self, work: Callable[[], T]) -> T:
        """Let the first process alone do `work` while the others wait; its result, or its error, is everyone's."""
        if self.size == 1:
            return work()
        answer: list[Any] = [None]
        if self.is_writer:
            try:
                answer = [(work(), None)]
            except SHARED_ERRORS as error:
                answer = [(None, error)]
        with _noticing_loss():
            distributed.broadcast_object_list(answer, src=0, device=torch.device("cpu"))
        result, failure = answer[0]
        if failure is not None:
            raise failure
        shared: T = result
        return shared

    def everywhere(self, work: Callable[[], T]) -> T:
        """Do `work` in every process, and go on only if all could; raises `ConfigError` in all where one does."""
        if self.size == 1:
            return work()
        result: T | None = None
        problem: ConfigError | None = None
        try:
            result = work()
        except ConfigError as error:
            problem = error
        problems: list[str | None] = [None] * self.size
        with _noticing_loss():
            distributed.all_gather_object(problems, None if problem is None else str(problem))
        if problem is not None:
            raise problem
        for rank, other in enumerate(problems):
            if other is not None:
                raise ConfigError(f"in process {rank} of {self.size}: {other}")
        return result  # type: ignore[return-value]

    # ---- Tensors -----------------------------------------------------------------------------------------------------

    def gather(self, tensor: Tensor) -> Tensor:
        """`[*] -> [K, *]`: the tensors of all processes, the same everywhere."""
        with _noticing_loss():
            parts = [torch.empty_like(tensor) for _ in range(self.size)]
            distributed.all_gather(parts, tensor.contiguous())
            return torch.stack(parts)

    @torch.no_grad()
    def equalise(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the first one's values."""
        if self.size == 1:
            return
        for tensor in tensors:
            values = tensor.contiguous()
            with _noticing_loss():
                distributed.broadcast(values, src=0)
            tensor.copy_(values)

    @torch.no_grad()
    def average(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Replace the gradients by their mean over all processes, and return that of `loss`.

        The parts are equal, so the mean of their gradients is the gradient of the mean over the global batch. It all
        goes in one piece, for these models are small; and so do the signals that have arrived, so that all processes
        stop after the same step.
        """
        if self.size == 1:
            return loss
        assert isinstance(self.stop, SharedStopRequest)
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flags = torch.tensor(self.stop.flags(), dtype=loss.dtype).to(loss.device, non_blocking=True)
        bucket = torch.cat([*(grad.reshape(-1) for grad in grads), loss.detach().reshape(1), flags])
        with _noticing_loss():
            distributed.all_reduce(bucket)
        bucket /= self.size
        *means, mean_loss, flags = bucket.split([*(grad.numel() for grad in grads), 1, len(SIGNALS)])
        torch._foreach_copy_(grads, [mean.view(grad.shape) for mean, grad in zip(means, grads, strict=True)])
        self._averaged_steps += 1
        if bucket.device.type == "cpu" or self._averaged_steps % CUDA_STEPS_PER_STOP_CHECK == 0:
            self.stop.agree(flags.tolist())
        return mean_loss.squeeze()

    def last_to_leave(self) -> None:
        """Outlive the first process, which has a result to print: the launcher ends whoever is left once one ends."""
        if not self.is_writer and not self.broken:
            try:
                with _noticing_loss():
                    distributed.broadcast(torch.zeros(1), src=0)  # it never sends; its end is what ends this
            except PeerLost:
                pass


class SharedStopRequest(StopRequest):
    """A signal to one process of several: it is told to all, and acted upon by all after the same step.

    Signals that follow are the same request again and change nothing, since a launcher passes on the one that a
    scheduler or a terminal has sent to each process already; whoever will not wait has SIGKILL.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received: int | None = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number

    def flags(self) -> list[float]:
        return [float(self.received == number) for number in SIGNALS]

    def agree(self, flags: Sequence[float]) -> None:
        """Act upon what was summed over all processes."""
        for number, flag in zip(SIGNALS, flags, strict=True):
            if flag > 0:
                self.signal_number = number


@contextmanager
def _noticing_loss() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        sentence = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
        reason = re.sub(r"^\[[^\]]*\] ", "", sentence)  # without the place in the library's source
        raise PeerLost(f"another process of this run has ended or cannot be reached ({reason})") from None


@contextmanager
def joined(ranks: Ranks, device: str) -> Iterator[World]:
    """The world of this process, met and left; `device` is `trainer.device`. Raises `ConfigError`."""
    if ranks.size == 1:
        yield World()
        return
    world = World(ranks)
    name = own_device(device, ranks)
    backend = "cpu:gloo,cuda:nccl" if name.startswith("cuda") else "gloo"
    try:
        if name.startswith("cuda"):
            torch.cuda.set_device(name)
        store, *_ = next(rendezvous("env://", timeout=MEETING_TIMEOUT))
        distributed.init_process_group(
            backend, store=own_part(store, ranks), rank=ranks.rank, world_size=ranks.size, timeout=PATIENCE
        )
        atexit.register(_leave)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"torchrun: the {ranks.size} processes cannot meet: {str(error).splitlines()[0]}") from None
    try:
        yield world
    except ConfigError:
        world.last_to_leave()
        raise
    world.last_to_leave()


def own_part(store: Store, ranks: Ranks) -> Store:
    """The part of the launcher's store that belongs to this start of the processes alone.

    torchrun keeps one store through all restarts, so a process may find there the address of another that is dead, and
    call it in vain. Its count of restarts is no help: the machines of a run may count differently. So the first process
    makes up a name, the others answer it with one of theirs, and it lists them: only those who are alive can have
    known the name, and only who finds itself listed has read one that is not old.
    """
    own = uuid.uuid4().hex
    if ranks.is_writer:
        store.set(START_KEY, own)
        answers = [store.get(f"{own}/{rank}").decode() for rank in range(1, ranks.size)]
        store.set(f"{own}/all", " ".join(answers))
        return PrefixStore(own, store)
    deadline = time.monotonic() + MEETING_TIMEOUT.total_seconds()
    while time.monotonic() < deadline:
        start = store.get(START_KEY).decode()
        store.set(f"{start}/{ranks.rank}", own)
        if store.check([f"{start}/all"]) and own in store.get(f"{start}/all").decode().split():
            return PrefixStore(start, store)
        time.sleep(MEETING_POLL_SEC)
    raise RuntimeError(f"the first process did not answer within {MEETING_TIMEOUT}")


def _leave() -> None:
    """Close the connections as the last thing, so that whoever waits for this process's end learns of it."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def own_device(name: str, ranks: Ranks) -> str:
    """The device of `trainer.device` for this process of several: a GPU of its own. Raises `ConfigError`."""
    count = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and count == 0):
        return "cpu"
    if name not in ("auto", "cuda"):
        raise ConfigError(f"trainer.device={name}: each of {ranks.size} processes needs a GPU of its own; use cuda")
    if ranks.local_size > count:
        raise ConfigError(
            f"trainer.device={name}: {ranks.local_size} processes on a machine with {count} CUDA devices; "
            f"start at most {count}, or use trainer.device=cpu"
            if count
            else f"trainer.device={name}: this machine has no CUDA devices; use auto or cpu"
        )
    return f"cuda:{ranks.local_rank}"


def check_parts(batch_size: int, image_count: int, size: int) -> None:
    """Raise `ConfigError` unless `size` processes can take equal parts of every batch."""
    batch = min(batch_size, image_count)
    if image_count < size:
        raise ConfigError(f"{image_count} training images cannot be shared by {size} processes; start fewer of them")
    if batch % size:
        what = f"trainer.batch_size={batch_size}" + (f" (of {image_count} images)" if batch < batch_size else "")
        below = batch - batch % size
        nearest = f"{below}" if batch < batch_size else f"{below} or {below + size}" if below else f"{size}"
        raise ConfigError(f"{what}: must be divisible by the {size} processes that share it; nearest: {nearest}")
