"""The base of what watches the operations that PyTorch dispatches."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class Watch(TorchDispatchMode):
    """A dispatch mode that does not load the compiler.

    PyTorch wraps a mode's `__torch_dispatch__` so that it is never compiled, and for that imports `torch._dynamo` at
    its first operation: some four seconds, in which a whole passport is measured. Nothing is compiled here.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
