"""Running sums that stay on the device until they are read."""

from torch import Tensor


class RunningSums:
    """Named sums of tensors: `add` leaves them where they are, `read` copies them to the CPU."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, **values: Tensor) -> None:
        """Add each value to the sum of that name.

        Raises:
            ValueError: its shape is not that of the values before.
        """
        for name, value in values.items():
            previous = self._sums.get(name)
            if previous is not None and previous.shape != value.shape:
                raise ValueError(
                    "all batches of one meter must have the same image size and channels: "
                    f"{name} was {tuple(previous.shape)}, got {tuple(value.shape)}"
                )
            self._sums[name] = value if previous is None else previous + value

    def read(self) -> dict[str, Tensor]:
        """All sums, on the CPU.

        Raises:
            ValueError: nothing was added, or a sum is not finite: a figure made of it would be a lie.
        """
        if not self._sums:
            raise ValueError("the meter has no images to work on: call update first")
        sums = {name: value.cpu() for name, value in self._sums.items()}
        if not all(bool(value.isfinite().all()) for value in sums.values()):
            raise ValueError("the images are not finite (NaN or infinity), so no figure of them is defined")
        return sums
