"""The command of the speed benchmark: what it refuses, that it resumes, and one run of the real thing."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from spikeinterface.core import load

import speed
from huidurep_sorter.benchmark.sorters import choices
from tests.benchmark.sorters.sorters import OURS
from tests.benchmarks.test_speed_report import made_up

GRID = ["--durations", "10", "20", "--channels", "8", "--units", "4", "--n-jobs", "1", "2"]


@pytest.fixture
def ran(monkeypatch):
    """Replace generating and sorting; gives what was sorted, as (name of the recording, n_jobs)."""
    ran = []

    def run_once(warm_up, recording, sorter, n_jobs, path, time_limit_s=None):
        assert recording.is_dir() and warm_up.is_dir()
        ran.append((recording.name, n_jobs))
        took = made_up(10.0, 8, 4, n_jobs)
        return {key: took[key] for key in ("status", "seconds", "cpu_seconds", "peak_memory_gb", "disk_gb", "stages")}

    monkeypatch.setattr(speed, "generate_once", lambda folder, size: folder.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(speed, "run_once", run_once)
    return ran


def test_what_has_a_record_isnt_run_again(ran, tmp_path):
    command = ["-o", str(tmp_path), *GRID]
    names = [f"{duration}s_8channels_4units" for duration in (10, 20)]
    assert speed.main(command) == 0
    assert ran == [(names[0], 1), (names[0], 2), (names[1], 1), (names[1], 2)]
    ran.clear()
    assert speed.main(command) == 0 and ran == []
    (tmp_path / "records" / f"{names[1]}_2jobs_huidurep.json").unlink()
    assert speed.main(command) == 0 and ran == [(names[1], 2)]
    assert speed.main([*command, "--drift"]) == 0 and (f"{names[1]}_drift", 2) in ran
    assert len(pd.read_csv(tmp_path / "speed.csv")) == 8
    assert not list((tmp_path / "recordings").iterdir())


def test_recordings_can_be_kept(ran, tmp_path):
    assert speed.main(["-o", str(tmp_path), *GRID, "--keep-recordings"]) == 0
    assert len(list((tmp_path / "recordings").iterdir())) == 2


def test_an_interruption_keeps_what_was_done(ran, tmp_path, monkeypatch):
    run_once = speed.run_once

    def interrupted(*args):
        if len(ran) == 2:
            raise KeyboardInterrupt
        return run_once(*args)

    monkeypatch.setattr(speed, "run_once", interrupted)
    assert speed.main(["-o", str(tmp_path), *GRID]) == 130
    monkeypatch.setattr(speed, "run_once", run_once)
    done = list(ran)
    assert speed.main(["-o", str(tmp_path), *GRID]) == 0
    assert len(done) == 2 and len(ran) == len(set(ran)) == 4


def test_a_failed_run_is_a_record_and_exit_code_1(ran, tmp_path, monkeypatch):
    failed = dict(status="failed", error="stopped after 1 s", peak_memory_gb=0.1, disk_gb=0.0, stages={})
    monkeypatch.setattr(speed, "run_once", lambda *args: failed)
    assert speed.main(["-o", str(tmp_path), *GRID]) == 1
    assert list(pd.read_csv(tmp_path / "speed.csv")["error"]) == ["stopped after 1 s"] * 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--durations", "3"], "--durations: '3': give numbers of 5 or more"),
        (["--durations", "inf"], "--durations: 'inf'"),
        (["--channels", "9"], "--channels: '9': give even numbers"),
        (["--units", "1.5"], "--units: '1.5': give whole numbers of 1 or more"),
        (["--n-jobs", "0"], "--n-jobs: '0'"),
        (["--time-limit", "nan"], "--time-limit: 'nan'"),
        (["--sorters", "nosuch"], "no sorter 'nosuch'"),
        (["--sorters", "huidurep:nothing=1"], "no parameter 'nothing'"),
        (["--durations", "1e9"], "GB free, and recordings need"),
        (["-o", __file__], "test_speed.py isn't a folder"),
    ],
)
def test_what_cant_be_used_is_refused_in_one_line_before_any_work(ran, given, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        speed.main(["-o", str(tmp_path / "out"), *given])
    assert ended.value.code == 2 and ran == [] and not (tmp_path / "out").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_sorters_that_arent_installed_are_left_out(ran, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(choices.sorter_dict["simple"], "is_installed", lambda: False)
    assert speed.main(["-o", str(tmp_path), *GRID, "--sorters", "simple", "huidurep"]) == 0
    assert "simple is left out: not installed here" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        speed.main(["-o", str(tmp_path), *GRID, "--sorters", "simple"])
    assert "none of the sorters is installed: simple" in capsys.readouterr().err


def test_kept_recordings_need_the_disk_of_all(tmp_path, monkeypatch):
    sizes = [speed.Size(duration_s=s, n_channels=16, n_true_units=4) for s in (100.0, 200.0)]  # 96 and 192 MB
    usage = type("Usage", (), dict(free=200_000_000))
    monkeypatch.setattr(speed.shutil, "disk_usage", lambda folder: usage)
    speed.check_folder(tmp_path, sizes, keep_recordings=False)
    with pytest.raises(OSError, match="0.2 GB free, and recordings need 0.3 GB"):
        speed.check_folder(tmp_path, sizes, keep_recordings=True)


def test_the_largest_size_of_a_folder_is_seen_while_in_use(tmp_path):
    with speed.sampled_bytes(tmp_path, interval_s=0.01) as sizes:
        (tmp_path / "file").write_bytes(bytes(1000))
        time.sleep(0.5)
        (tmp_path / "file").unlink()
    assert max(sizes) == 1000 and sizes[-1] == 0


def test_a_real_run_is_measured(tmp_path):
    grid = ["--durations", "6", "--channels", "4", "--units", "2", "--n-jobs", "1", "--drift", "--keep-recordings"]
    script = str(Path(speed.__file__))
    command = [sys.executable, script, "-o", str(tmp_path), *grid, "--sorters", f"{OURS},save_report=false"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "records").glob("*.json")
    record = json.loads(path.read_text("utf8"))
    assert record["status"] == "ok" and record["seconds"] > 0 and record["cpu_seconds"] > 0
    assert record["peak_memory_gb"] > 0.1 and record["disk_gb"] > 0 and 0 <= record["accuracy"] <= 1
    assert {"prepare", "detect", "match", "total"} <= set(record["stages"])
    assert record["stages"]["total"][0][1] <= record["cpu_seconds"] + 0.01  # the log is rounded
    assert {path.name for path in tmp_path.iterdir()} == {
        *("records", "recordings", "speed.csv", "stages.csv", "speed.md", "cpu_seconds.png", "stages.png")
    }
    recording = load(tmp_path / "recordings" / "6s_4channels_2units_drift" / "recording")
    assert recording.dtype == "int16" and set(recording.get_channel_gains()) == {speed.UV_PER_BIT}
    assert recording.get_traces().nbytes == speed.Size(duration_s=6.0, n_channels=4, n_true_units=2).n_bytes
