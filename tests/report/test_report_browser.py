"""The report in a real Chromium: it renders, answers to mouse and keyboard, fits a telephone, and asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import Browser, Page, chromium, open_browser
from tests.compare.synthetic import PATTERN, PHASE, PSNR, USUAL, Recipe, synthetic
from upsample_lab.compare.result import Comparison
from upsample_lab.drawing.reconstructions import load_pictures
from upsample_lab.report import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on PATH: apt-get install chromium, or set CHROMIUM"),
]

RECIPES: list[Recipe] = [*USUAL[:3], ("<script>alert(1)</script> " + "long_name_" * 9, *USUAL[6][1:])]
PHONE_PX = 360


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return synthetic(tmp_path_factory.mktemp("runs"), RECIPES, (0, 1), metrics=(PSNR, PATTERN))


@pytest.fixture(scope="module")
def report(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(comparison, tmp_path_factory.mktemp("report"), passports=False)[0]


@pytest.fixture(scope="module")
def usual_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine variants of colour images by three metrics, one of many digits."""
    folder = tmp_path_factory.mktemp("usual")
    nine: list[Recipe] = [*USUAL, ("pixel_shuffle/random phase_equal", *USUAL[3][1:])]
    comparison = synthetic(folder, nine, (0, 1), metrics=(PSNR, PATTERN, PHASE), channels=3, size_px=32)
    return write_report(comparison, folder / "report", passports=False)[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report on a desktop; whatever a test does with it, it must not complain or ask for anything."""
    opened = browser.page(report)
    yield opened
    assert opened.complaints() == []
    assert opened.requests() == [report.as_uri()]
    opened.close()


def column(page: Page, number: int = 0) -> list[str]:
    """The first words of a column of the table of results, from top to bottom."""
    rows = "[...document.querySelectorAll('.results tbody tr')]"
    return list(page.evaluate(f"{rows}.map(row => row.cells[{number}].innerText.split('\\n')[0])"))


def test_renders_everything(page: Page) -> None:
    assert page.evaluate("document.querySelectorAll('#verdict p').length") == 3
    sections = ["results", "differences", "cost", "artifact", "training", "images", "flat"]
    sections += ["regions", "measured", "limits"]
    for name in sections:
        assert page.evaluate(f"document.getElementById('{name}').getBoundingClientRect().height") > 50, name
    seen = "[...document.querySelectorAll('.chart .wide svg')].filter(s => s.checkVisibility()).map(s => s.clientWidth)"
    widths = page.evaluate(seen)
    assert len(widths) == 7  # one forest is chosen, the other hidden
    assert all(width > 800 for width in widths)
    assert page.evaluate("document.querySelectorAll('script').length") == 2


def test_sorts_by_click_and_by_keyboard(page: Page) -> None:
    start = column(page)
    assert page.evaluate("document.querySelector('th[aria-sort]').cellIndex") == 1
    page.click(".results th:nth-child(2) button")  # PSNR is sorted from the highest already
    assert column(page) == start[::-1]
    assert page.evaluate("document.querySelector('th[aria-sort]').ariaSort") == "ascending"
    page.evaluate("document.querySelector('.results th:nth-child(4) button').focus()")
    page.press("Enter")
    parameters = [int(text.replace(",", "")) for text in column(page, 3)]
    assert parameters == sorted(parameters)
    page.press(" ")
    assert [int(text.replace(",", "")) for text in column(page, 3)] == parameters[::-1]
    page.click(".results th:nth-child(1) button")
    assert column(page) == sorted(column(page), key=str.lower)
    assert page.evaluate("document.querySelectorAll('.results th[aria-sort]').length") == 1


def test_shows_one_metric_at_a_time(page: Page) -> None:
    shown = (
        "[...document.querySelectorAll('[data-metric]')].filter(p => p.checkVisibility()).map(p => p.dataset.metric)"
    )
    assert page.evaluate(shown) == [PSNR.key]
    page.evaluate("document.getElementById('metric').focus()")
    page.press("ArrowDown")
    assert page.evaluate(shown) == [PATTERN.key]


def test_highlights_a_variant_in_all_figures(page: Page) -> None:
    page.evaluate("document.getElementById('spotlight').focus()")
    page.press("ArrowDown")
    faint = "getComputedStyle(document.querySelector('#training .wide g.variant-1')).opacity"
    bright = "getComputedStyle(document.querySelector('#training .wide g.variant-0')).opacity"
    assert page.evaluate(f"[{faint}, {bright}]") == ["0.12", "1"]
    page.press("ArrowUp")
    assert page.evaluate(f"[{faint}, {bright}]") == ["1", "1"]


def test_compares_images_by_mouse_and_keyboard(page: Page) -> None:
    split = "getComputedStyle(document.getElementById('stage')).getPropertyValue('--split').trim()"
    assert page.evaluate(split) == "50%"
    page.evaluate("document.getElementById('split').focus()")
    page.press("ArrowRight")
    assert page.evaluate(split) == "51%"
    page.click("[data-role='a']")  # in its middle
    assert page.evaluate(split) == "50%"
    names = "['a', 'b'].map(side => document.querySelector(`.tag [data-name=${side}]`).textContent)"
    assert page.evaluate(names) == [RECIPES[0][0], RECIPES[1][0]]
    page.click("#swap")
    assert page.evaluate(names) == [RECIPES[1][0], RECIPES[0][0]]
    assert page.evaluate("document.querySelector('[data-role=a]').className") == "pic strip-1"
    figures = "document.querySelector('.figures').innerText"
    before = page.evaluate(figures)
    page.evaluate("document.querySelector('.thumbs input').focus()")
    page.press("ArrowRight")
    assert page.evaluate("document.querySelector('.thumbs input:checked').value") == "1"
    assert page.evaluate(figures) != before


def test_zooms_and_moves_by_keyboard(page: Page) -> None:
    style = "document.querySelector('[data-role=original]').style"
    place = f"['backgroundSize', 'backgroundPosition'].map(name => {style}[name])"
    assert page.evaluate(place) == ["1200% 100%", "0% 50%"]
    page.evaluate("document.getElementById('stage').focus()")
    page.press("+")
    assert page.evaluate(place)[0] == "2400% 200%"
    middle = page.evaluate(place)[1]
    page.press("ArrowRight")
    page.press("ArrowDown")
    right = page.evaluate(place)[1]
    assert float(right.split("%")[0]) > float(middle.split("%")[0])
    assert right.endswith("60%")


def test_shows_every_pixel_of_the_chosen_image(page: Page, comparison: Comparison, tmp_path: Path) -> None:
    """Pixel by pixel: the whole image, and its lower left quarter when zoomed to twice the size."""
    pictures = load_pictures(comparison)
    assert pictures is not None
    page.evaluate("document.querySelectorAll('.thumbs input')[7].click()")
    whole, size_px = pictures.originals[7], pictures.originals.shape[1]
    np.testing.assert_allclose(seen_pixels(page, tmp_path, size_px), whole, atol=1)
    page.evaluate("document.getElementById('stage').focus()")
    page.press("+")
    for key in ("ArrowLeft", "ArrowDown") * 6:
        page.press(key)
    half = size_px // 2
    np.testing.assert_allclose(seen_pixels(page, tmp_path, half), whole[half:, :half], atol=1)


def seen_pixels(page: Page, folder: Path, side: int) -> np.ndarray:
    """What the picture of the original shows: the colour in the middle of each of `side` x `side` squares."""
    shot = np.asarray(Image.open(page.screenshot(folder / "shot.png", part="[data-role='original']")).convert("RGB"))
    rows, columns = (((np.arange(side) + 0.5) * length / side).astype(int) for length in shot.shape[:2])
    return shot[rows][:, columns]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_follows_the_system_and_the_button(browser: Browser, report: Path, dark: bool) -> None:
    page = browser.page(report, dark=dark)
    colors = "[document.body, document.querySelector('.chart svg text')].map(e => getComputedStyle(e))"
    colors = f"(([body, word]) => [body.backgroundColor, word.fill])({colors})"
    light, night = ["rgb(255, 255, 255)", "rgb(34, 34, 34)"], ["rgb(21, 24, 29)", "rgb(230, 233, 238)"]
    assert page.evaluate(colors) == (night if dark else light)
    page.click("#theme")
    assert page.evaluate(colors) == (light if dark else night)
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate(colors) == light  # paper is white
    assert page.complaints() == []
    page.close()


def test_can_be_sent_by_mail(usual_report: Path) -> None:
    assert usual_report.stat().st_size < 3_000_000


def test_fits_a_telephone(browser: Browser, report: Path) -> None:
    page = browser.page(report, width=PHONE_PX, height=740)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [PHONE_PX, PHONE_PX]
    seen = "[...document.querySelectorAll('.chart svg')].filter(s => s.checkVisibility()).map(s => s.clientWidth)"
    assert all(250 < width < PHONE_PX for width in page.evaluate(seen))
    small = page.evaluate(
        "[...document.querySelectorAll('.chart .narrow svg text')].filter(t => t.checkVisibility())"
        ".map(t => t.getBoundingClientRect().height).filter(h => h < 6.5).length"
    )
    assert small == 0
    assert page.complaints() == []
    page.close()


def test_words_stay_inside_their_figures(browser: Browser, report: Path) -> None:
    for width in (1280, PHONE_PX):
        page = browser.page(report, width=width)
        outside = page.evaluate(
            "[...document.querySelectorAll('.chart svg')].filter(s => s.checkVisibility()).flatMap(svg => {"
            " const frame = svg.getBoundingClientRect();"
            " return [...svg.querySelectorAll('text')].filter(t => { const b = t.getBoundingClientRect();"
            " return b.left < frame.left - 3 || b.right > frame.right + 3; }).map(t => t.textContent); })"
        )
        assert outside == []
        page.close()


def test_words_do_not_overlap(browser: Browser, usual_report: Path) -> None:
    """Of any figure, on a desktop and on a telephone, with nine variants and long names."""
    for width in (1400, 390):
        page = browser.page(usual_report, width=width)
        page.evaluate("document.querySelectorAll('[data-metric]').forEach(part => part.hidden = false)")
        overlapping = page.evaluate(
            "[...document.querySelectorAll('.chart svg')].filter(s => s.checkVisibility()).flatMap(svg => {"
            " const words = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim())"
            "   .map(t => [t.textContent, t.getBoundingClientRect()]);"
            " return words.flatMap(([a, p], i) => words.slice(i + 1).filter(([b, q]) =>"
            "   Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 &&"
            "   Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 3).map(([b]) => `${a} | ${b}`)); })"
        )
        assert overlapping == [], width
        page.close()


def test_every_control_is_reached_by_tab_and_shows_its_focus(page: Page) -> None:
    reached = set()
    for _ in range(60):
        page.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.closest('section')?.id"))
        outline = page.evaluate(
            "(e => e === document.body || e.matches('.thumbs input') ? 'solid' : getComputedStyle(e).outlineStyle)"
            "(document.activeElement)"
        )
        assert outline != "none"
    assert {"theme", "results", "spotlight", "metric", "a", "b", "swap", "zoom", "stage", "split"} <= reached


def test_a_script_that_is_not_the_pages_own_does_not_run(browser: Browser, report: Path) -> None:
    page = browser.page(report)
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">'),"
        " document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 2'}))"
    )
    assert page.evaluate("fetch('data:,x').then(() => 'fetched', () => 'refused')") == "refused"
    assert page.evaluate("window.ran ?? 'nothing ran'") == "nothing ran"
    assert any("Content Security Policy" in line for line in page.complaints())
    page.close()
