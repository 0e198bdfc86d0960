"""Commands draw to files, whatever MPLBACKEND says: a notebook hands on a backend that may not be installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from upsample_lab.cli.main import drawing_to_files, guarded

ROOT = Path(__file__).parents[2]
INLINE = "module://matplotlib_inline.backend_inline"

# What `scripts/compare.py` does with runs that it has read, which would have to be trained first.
REPORT = """
from pathlib import Path
from tests.compare.synthetic import USUAL, synthetic
from upsample_lab.cli.main import guarded
def work():
    from upsample_lab.report import write_report
    write_report(synthetic(Path("runs"), USUAL[:2], (0, 1, 2)), Path("report"), passports=False)
    return 0
raise SystemExit(guarded(work))
"""
COMMANDS: dict[str, list[str]] = {
    "passport": ["scripts/passport.py", "size=16", "in_channels=2", "out_channels=2", "upsample=nearest", "cost=false"],
    "explain": ["scripts/explain.py", "to=png"],
    "report": ["-c", REPORT],
}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MPLBACKEND": INLINE, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.process
@pytest.mark.skipif(find_spec("matplotlib_inline") is not None, reason="matplotlib finds the notebook's backend")
def test_matplotlib_itself_cannot_be_imported_so(tmp_path: Path) -> None:
    assert run(tmp_path, "-c", "import matplotlib").returncode != 0


@pytest.mark.process
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_draw_without_the_backend_of_a_notebook(tmp_path: Path, command: str) -> None:
    first, *words = COMMANDS[command]
    done = run(tmp_path, first if first == "-c" else str(ROOT / first), *words)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*.png"))


@pytest.mark.process
def test_no_script_loads_matplotlib_before_the_backend_is_chosen(tmp_path: Path) -> None:
    scripts = sorted(str(path) for path in (ROOT / "scripts").glob("*.py"))
    code = "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path, run_name='imported')\n"
    code += "assert 'matplotlib' not in sys.modules"
    done = run(tmp_path, "-c", code, *scripts)
    assert done.returncode == 0, done.stderr


def test_the_users_own_backend_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", INLINE)
    seen = []
    assert guarded(lambda: seen.append(os.environ["MPLBACKEND"]) or 0) == 0
    assert seen == ["agg"]
    assert os.environ["MPLBACKEND"] == INLINE
    bare: dict[str, str] = {}
    with drawing_to_files(bare):
        assert bare == {"MPLBACKEND": "agg"}
    assert bare == {}
