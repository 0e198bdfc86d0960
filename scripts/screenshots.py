"""Take the screenshots of docs/dashboards.md: `python scripts/screenshots.py outputs/<experiment> [--to docs/images]`.

Needs TensorBoard and a Chromium (CHROMIUM names one that is not on PATH); the network is not used.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the browser belongs to the tests, which are not installed

from tests.browser import BrowserError, Page, open_browser  # noqa: E402
from upsample_lab.cli.main import OneLineParser, guarded  # noqa: E402
from upsample_lab.settings import ConfigError  # noqa: E402
from upsample_lab.training.display import SHOW_ALL  # noqa: E402

PAGES = {  # TensorBoard's own names: what must be on the page before it is taken
    "custom_scalars": "path.symbol",
    "hparams": "tf-hparams-table-view",
    "images": "img",
}
VIEWS = {"custom_scalars": "&_smoothingWeight=0"}  # the curves as they are
READY_SEC = 240.0  # a busy machine takes its time
SETTLE_SEC = 20.0  # pictures and rows come one by one


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """TensorBoard on a free port of this machine, ready to answer; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        "--logdir",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--load_fast=false",
        *SHOW_ALL.split(),
    ]
    process = subprocess.Popen([sys.executable, "-m", "tensorboard.main", *words], stderr=subprocess.DEVNULL)
    try:
        _wait(lambda: process.poll() is not None or _answers(port), "TensorBoard")
        if process.poll() is not None:
            raise ConfigError(f"{folder}: TensorBoard ended with status {process.returncode}")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def _wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + READY_SEC
    while not condition():
        if time.monotonic() > until:
            raise ConfigError(f"{what}: not ready after {READY_SEC:.0f} s")
        time.sleep(0.2)


def _everywhere(selector: str) -> str:
    """An expression that finds the selector in the page and in all shadow trees, of which TensorBoard is made."""
    return (
        "(function find(root) { if (root.querySelector(" + repr(selector) + ")) return true;"
        " return [...root.querySelectorAll('*')].some(e => e.shadowRoot && find(e.shadowRoot)); })(document)"
    )


def take(page: Page, address: str, name: str, to: Path) -> Path:
    """One page of TensorBoard, once what it is about is there."""
    page.open(f"{address}#{name}{VIEWS.get(name, '')}")
    _wait(lambda: page.evaluate(_everywhere(PAGES[name])), f"TensorBoard's page {name}")
    time.sleep(SETTLE_SEC)
    return page.screenshot(to / f"tensorboard-{name.replace('_', '-')}.png")


def main(words: Sequence[str] | None = None) -> int:
    parser = OneLineParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the runs of an experiment: outputs/<experiment>")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images", help="folder of the pictures")
    arguments = parser.parse_args(words)
    if not any(arguments.folder.glob("**/events.out.tfevents.*")):
        raise ConfigError(f"{arguments.folder}: holds no runs; train some first, e.g. experiment=glyphs_smoke")
    arguments.to.mkdir(parents=True, exist_ok=True)
    try:
        with tensorboard(arguments.folder) as address, open_browser() as browser:
            for name in PAGES:
                print(take(browser.page("about:blank", width=1400, height=1000), address, name, arguments.to))
    except BrowserError as error:
        raise ConfigError(str(error)) from None
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
