"""The recipe for many sessions on a real slurm, which `start.sh` starts; only with HUIDUREP_TEST_SLURM=1."""

import os
import subprocess
import sys
import time

import pytest

from tests.many_sessions import check_results, sections, write_script, write_sessions

pytestmark = pytest.mark.skipif(
    os.environ.get("HUIDUREP_TEST_SLURM") != "1", reason="needs a slurm: see tests/slurm/start.sh"
)


def test_a_batch_on_slurm_goes_on_after_a_session_that_fails(tetrode, quick, tmp_path):
    found = sections()
    arguments, submit = found["On slurm"]
    (collect,) = found["What came out, and what failed"]
    folders, arguments = write_sessions(tetrode[0], tmp_path), arguments.replace("8G", "2G")
    results = tmp_path / "results"
    write_script(tmp_path / "submit.py", folders, results, quick, arguments, submit)
    write_script(tmp_path / "collect.py", folders, results, quick, collect)
    submitted = run([sys.executable, "submit.py"], tmp_path)
    assert submitted.count("Submitted batch job") == 3, submitted
    until_the_queue_is_empty()
    outputs = [path.read_text() for path in results.glob("slurm-*.txt")]
    assert len(outputs) == 3
    check_results(run([sys.executable, "collect.py"], tmp_path) + "".join(outputs))


def run(command, folder):
    """Run a command, and give what it prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until_the_queue_is_empty(limit_s=400):
    """Wait for all of this user's jobs."""
    end = time.monotonic() + limit_s
    while run(["squeue", "--me", "--noheader"], None).strip():
        assert time.monotonic() < end, run(["squeue", "--long"], None)
        time.sleep(1)
