"""The recipe for many sessions on dask, as a user would paste it; that for slurm is in tests/slurm."""

import subprocess
import sys

from tests.many_sessions import check_results, sections, write_script, write_sessions


def test_a_batch_on_dask_goes_on_after_a_session_that_fails(tetrode, quick, tmp_path):
    found = sections()
    (dask,), (collect,) = (
        found["On one machine, or on those of a dask cluster"],
        found["What came out, and what failed"],
    )
    folders = write_sessions(tetrode[0], tmp_path)
    write_script(tmp_path / "script.py", folders, tmp_path / "results", quick, dask, collect)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    check_results(done.stdout)
