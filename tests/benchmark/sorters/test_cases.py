"""Each case runs in a process of its own, and whatever happens to that is a row."""

import sys

import pandas as pd
import psutil
import pytest

from huidurep_sorter.benchmark.sorters import cases
from huidurep_sorter.benchmark.sorters.run_case import last_line
from huidurep_sorter.benchmark.sorters.study import open_study
from huidurep_sorter.cli.main import main
from tests.benchmark.sorters.sorters import OTHER


def test_a_process_that_is_killed_is_a_row_too(data, tmp_path, monkeypatch):
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    monkeypatch.setattr(cases, "case_command", lambda *args: killed)
    assert main(["benchmark", "sorters", "--data", str(data), "-o", str(tmp_path), "--sorters", OTHER]) == 0
    rows = pd.read_csv(tmp_path / "recordings.csv")
    assert list(rows["error"]) == ["killed by signal 9 (out of memory?)"]


def test_a_sorter_that_takes_too_long_is_stopped_with_its_children(data, tmp_path, monkeypatch):
    children = tmp_path / "children"
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(children)!r}, "w").write(str(child.pid))
time.sleep(60)
"""
    monkeypatch.setattr(cases, "case_command", lambda *args: [sys.executable, "-c", code])
    command = ["benchmark", "sorters", "--data", str(data), "-o", str(tmp_path), "--sorters", OTHER]
    assert main([*command, "--time-limit", "3"]) == 0
    rows = pd.read_csv(tmp_path / "recordings.csv")
    assert list(rows["error"]) == ["stopped after 3 s"]
    child = int(children.read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    assert "| one | failed |" in (tmp_path / "table.md").read_text()
    other = tmp_path / "elsewhere" / "one"
    other.mkdir(parents=True)
    with pytest.raises(ValueError, match="another 'one'"):
        open_study(tmp_path / "study", [other], [])


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Spike sorting error trace:\nTraceback\n  File\nValueError: no peaks\n\nSpike sorting failed. See log.",
            "ValueError: no peaks",
        ),
        ("no such file", "no such file"),
        ("", "OSError"),
    ],
)
def test_of_an_error_the_line_is_kept_that_says_why(message, line):
    assert last_line(OSError(message)) == line
