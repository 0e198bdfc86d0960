"""How far a passport is: told by who measures, and shown to who waits."""

from __future__ import annotations

import io

import pytest
from torch import nn

from upsample_lab.passport import passport, progress

from .modules import seeded


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("channels", [1, 6, 20])
@pytest.mark.parametrize("make", [nn.Identity, nn.ReLU], ids=["linear", "not linear"])
def test_the_share_grows_from_nothing_to_nearly_all(channels: int, make: type[nn.Module]) -> None:
    told: list[tuple[float, str]] = []
    layer = seeded(lambda: nn.Sequential(nn.ConvTranspose2d(channels, 2, 4, 2, 1), make()))
    passport(layer, channels, 2, size=16, cost=False, progress=lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert 0.7 <= shares[-1] <= 1
    assert len({what for _, what in told}) > 3


def test_cost_ends_at_all_of_it() -> None:
    told: list[float] = []
    passport(nn.Upsample(scale_factor=2), 1, 2, size=16, progress=lambda share, _: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(0, 100, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.shown("passports") as report:
        for step in range(8):
            report(step / 8, "nearest")
    assert capsys.readouterr().err.splitlines() == [
        "passports: nearest, 25% after 12 s", "passports: nearest, 62% after 24 s"
    ]  # fmt: skip


def test_a_library_writes_no_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "LINE_SEC", 0.0)
    passport(nn.Upsample(scale_factor=2), 1, 2, size=16, cost=False)
    passport(nn.Upsample(scale_factor=2), 1, 2, size=16, cost=False, progress=False)
    assert capsys.readouterr() == ("", "")
    passport(nn.Upsample(scale_factor=2), 1, 2, size=16, cost=False, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Upsample: single pixels" in captured.err


def test_a_terminal_gets_a_bar_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for quick_sec, is_shown in ((1000.0, False), (0.0, True)):
        terminal = Terminal()
        monkeypatch.setattr(progress.sys, "stderr", terminal)
        monkeypatch.setattr(progress, "QUICK_SEC", quick_sec)
        passport(nn.Upsample(scale_factor=2), 1, 2, size=16, cost=False)
        assert ("Upsample" in terminal.getvalue()) == is_shown
