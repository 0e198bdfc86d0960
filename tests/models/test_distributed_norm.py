"""Batch norm over the batches of several processes, which are threads here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from upsample_lab.models.distributed_norm import GlobalBatchNorm2d, share_statistics


class Meeting:
    """`gather` for threads: what each of them brings, in the order of their ranks."""

    def __init__(self, size: int) -> None:
        self.size, self.brought = size, [torch.empty(0)] * size
        self.barrier = threading.Barrier(size, timeout=60)

    def gather_of(self, rank: int) -> Callable[[Tensor], Tensor]:
        def gather(tensor: Tensor) -> Tensor:
            self.brought[rank] = tensor
            self.barrier.wait()
            everything = torch.stack(self.brought)
            self.barrier.wait()
            return everything

        return gather


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("momentum", [0.1, None], ids=["moving", "cumulative"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_parts_of_a_batch_give_what_the_whole_gives(size: int, momentum: float | None, memory_format) -> None:
    torch.manual_seed(0)
    images = (3 + 2 * torch.randn(6, 4, 5, 3, dtype=torch.float64)).to(memory_format=memory_format)
    later, grad = torch.randn_like(images), torch.randn_like(images)
    whole = nn.BatchNorm2d(4, momentum=momentum).double()
    nn.init.normal_(whole.weight)
    nn.init.normal_(whole.bias)
    start = {name: tensor.clone() for name, tensor in whole.state_dict().items()}

    def train(norm: nn.Module, *batches: Tensor) -> tuple[Tensor, Tensor]:
        first, second, grad = (batch.clone(memory_format=torch.preserve_format) for batch in batches)
        norm(second)
        output = norm(first.requires_grad_())
        output.backward(grad)
        return output.detach(), first.grad

    meeting = Meeting(size)

    def train_part(rank: int) -> tuple[GlobalBatchNorm2d, Tensor, Tensor]:
        model = nn.Sequential(nn.BatchNorm2d(4, momentum=momentum).double())
        model[0].load_state_dict(start)
        share_statistics(model, meeting.gather_of(rank))
        return model[0], *train(model, *(batch.chunk(size)[rank] for batch in (images, later, grad)))

    expected_output, expected_grad = train(whole, images, later, grad)
    with ThreadPoolExecutor(size) as pool:
        norms, outputs, grads = zip(*pool.map(train_part, range(size)), strict=True)
    exactly = {"rtol": 0, "atol": 1e-12}
    torch.testing.assert_close(torch.cat(outputs), expected_output, **exactly)
    torch.testing.assert_close(torch.cat(grads), expected_grad, **exactly)
    torch.testing.assert_close(sum(norm.weight.grad for norm in norms), whole.weight.grad, **exactly)
    torch.testing.assert_close(sum(norm.bias.grad for norm in norms), whole.bias.grad, **exactly)
    for norm in norms:
        assert list(norm.state_dict()) == list(whole.state_dict())
        for name, tensor in whole.state_dict().items():
            torch.testing.assert_close(norm.state_dict()[name], tensor, **exactly)


def test_half_precision_has_the_statistics_of_single() -> None:
    torch.manual_seed(0)
    images = (100 + torch.randn(64, 2, 8, 8)).bfloat16()
    norm = GlobalBatchNorm2d(nn.BatchNorm2d(2), lambda tensor: tensor[None])
    output = norm(images.requires_grad_())
    assert output.dtype == torch.bfloat16
    output.float().square().sum().backward()
    assert images.grad is not None
    expected = nn.BatchNorm2d(2)
    expected(images.detach().float())
    torch.testing.assert_close(norm.running_mean, expected.running_mean)
    torch.testing.assert_close(norm.running_var, expected.running_var)


def test_evaluation_exchanges_nothing() -> None:
    def refuse(_: Tensor) -> Tensor:
        raise AssertionError("nothing to exchange")

    like = nn.BatchNorm2d(2).eval()
    images = torch.randn(3, 2, 4, 4)
    assert torch.equal(GlobalBatchNorm2d(like, refuse)(images), like(images))


@pytest.mark.parametrize("module", [nn.BatchNorm1d(4), nn.InstanceNorm2d(4, track_running_stats=True)], ids=repr)
def test_statistics_that_cannot_be_shared_are_refused(module: nn.Module) -> None:
    with pytest.raises(TypeError, match=r"1: .* cannot be shared"):
        share_statistics(nn.Sequential(nn.Identity(), module), lambda tensor: tensor[None])
