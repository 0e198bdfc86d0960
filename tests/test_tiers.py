"""Each test has one tier, and plain `pytest` runs the quick one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TIERS, tiers_of

pytest_plugins = "pytester"

EXAMPLES = """
import pytest

def test_nothing_is_said(): ...
def test_it_trains(train): ...
@pytest.mark.process
def test_it_trains_in_a_process(train): ...
@pytest.mark.browser
def test_it_looks(): ...
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with these tests' conftest, and one test of each kind."""
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    folder = pytester.mkdir("tests")
    (folder / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    (folder / "test_examples.py").write_text(EXAMPLES)
    return pytester


def chosen(suite: pytest.Pytester, *words: str) -> set[str]:
    recorder = suite.inline_run("--collect-only", "-p", "no:xdist", *words)
    return {item.name for item in recorder.getcall("pytest_collection_finish").session.items}


def test_every_test_has_one_tier(request: pytest.FixtureRequest) -> None:
    assert all(len(tiers_of(item)) == 1 for item in request.session.items)


@pytest.mark.run
def test_plain_pytest_runs_unit_and_a_named_file_runs_whole(suite: pytest.Pytester) -> None:
    assert chosen(suite) == {"test_nothing_is_said"}
    assert chosen(suite, "-m", "unit or run") == {"test_nothing_is_said", "test_it_trains"}
    assert len(chosen(suite, "tests/test_examples.py")) == len(TIERS)


@pytest.mark.process
def test_a_quick_test_starts_no_interpreter(suite: pytest.Pytester) -> None:
    start = (
        "import subprocess, sys, pytest\n{}\ndef test_it(): subprocess.run([sys.executable, '-c', ''], check=True)\n"
    )
    for mark, passed in (("", 0), ("@pytest.mark.process", 1)):
        (suite.path / "tests" / "test_start.py").write_text(start.format(mark))
        result = suite.runpytest_inprocess("-p", "no:xdist", "tests/test_start.py")
        result.assert_outcomes(passed=passed, failed=1 - passed)
        assert ("mark it `process`" in result.stdout.str()) == (not passed)


@pytest.mark.run
def test_two_tiers_are_refused_by_name(suite: pytest.Pytester) -> None:
    (suite.path / "tests" / "test_two.py").write_text(
        "import pytest\n@pytest.mark.run\n@pytest.mark.process\ndef test_both(): ...\n"
    )
    result = suite.runpytest_inprocess("-p", "no:xdist")
    result.stderr.fnmatch_lines(["*more than one tier*test_two.py::test_both*"])
