"""The passport's page in a real Chromium: dark where the system is, and nothing cut off on a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from tests.browser import Browser, chromium, open_browser
from tests.passport.modules import seeded
from upsample_lab.drawing.passport import comparison_figure
from upsample_lab.drawing.style import png
from upsample_lab.passport import passport
from upsample_lab.report.passport_page import comparison_page, page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on PATH: apt-get install chromium, or set CHROMIUM"),
]
PHONE_PX = 390


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One passport and a comparison of two."""
    folder = tmp_path_factory.mktemp("pages")
    measured = passport(seeded(lambda: nn.ConvTranspose2d(2, 2, 3, 2, 1, 1)), 2, 2, size=16, name="a" * 60, cost=False)
    texts = {
        "one.html": page(measured, "command " * 40),
        "two.html": comparison_page([measured, measured], png(comparison_figure([measured, measured])), "command"),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def test_pages_fit_a_telephone_and_follow_the_system(browser: Browser, pages: list[Path]) -> None:
    for path in pages:
        for dark, paper in ((False, "rgb(255, 255, 255)"), (True, "rgb(21, 24, 29)")):
            opened = browser.page(path, width=PHONE_PX, height=740, dark=dark)
            assert opened.evaluate("document.documentElement.scrollWidth") == PHONE_PX
            assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == paper
            cut = (
                "[...document.querySelectorAll('table, img, pre, h1, p, li')].filter(e => {"
                " const right = e.getBoundingClientRect().right;"
                " return right > innerWidth && !e.closest('.wide, pre'); }).length"
            )
            assert opened.evaluate(cut) == 0  # what is wider lies in a part that scrolls
            assert opened.complaints() == []
            opened.close()
