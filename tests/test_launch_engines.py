"""Every engine of `run_sorter_jobs`, for real, from scripts that never import huidurep_sorter.

Worker processes know the sorter only through the start-up hook. Each script is run by a new interpreter, that
of the tests having imported the package long ago.
"""

import os
import stat
import subprocess
import sys
import textwrap

import pytest
from spikeinterface.sorters import read_sorter_folder

HEADER = """
import sys
from pathlib import Path
from spikeinterface.core import load
from spikeinterface.sorters import run_sorter_jobs

def jobs():
    recording = load({recording!r})
    return [dict(sorter_name="huidurep", recording=recording, folder=Path({folder!r}), **{parameters!r})]

def run():
{body}

if __name__ == "__main__":
    run()
    assert not [m for m in vars(sys.modules["__main__"]) if "huidurep" in m]
"""

ENGINES = {
    "joblib": """
        out = run_sorter_jobs(
            jobs(), engine="joblib", engine_kwargs=dict(n_jobs=2, backend="loky"), return_output=True
        )
        assert len(out) == 1 and len(out[0].unit_ids) > 0
        """,
    "fork": """
        import multiprocessing
        context = multiprocessing.get_context("fork")
        run_sorter_jobs(
            jobs(), engine="processpoolexecutor", engine_kwargs=dict(max_workers=1, mp_context=context)
        )
        """,
    "spawn": """
        import multiprocessing
        context = multiprocessing.get_context("spawn")
        run_sorter_jobs(
            jobs(), engine="processpoolexecutor", engine_kwargs=dict(max_workers=1, mp_context=context)
        )
        """,
    "dask": """
        from dask.distributed import Client, LocalCluster
        one_process = dict(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None)
        with LocalCluster(**one_process) as cluster:
            with Client(cluster) as client:
                run_sorter_jobs(jobs(), engine="dask", engine_kwargs=dict(client=client))
        """,
    "slurm": """
        scripts = Path("scripts")
        run_sorter_jobs(jobs(), engine="slurm", engine_kwargs=dict(tmp_script_folder=scripts))
        assert "huidurep_sorter" not in (scripts / "si_script_0.py").read_text()
        """,
}

# Runs the script that sbatch is given (its last argument), as the node of a cluster would.
SBATCH = """#!/bin/sh
for script; do :; done
exec "$script"
"""


@pytest.mark.parametrize("engine", list(ENGINES))
def test_engine(engine, tetrode, quick, tmp_path):
    if engine == "fork" and not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    if engine == "slurm" and os.name == "nt":
        pytest.skip("no slurm on Windows")
    folder = tmp_path / "sorted"
    body = textwrap.indent(textwrap.dedent(ENGINES[engine]), "    ")
    script = HEADER.replace("{body}", body).format(
        recording=str(tetrode[0]._kwargs["folder_path"]),
        folder=str(folder),
        parameters=quick | {"job_kwargs": {"n_jobs": 1}},
    )
    run_script(script, tmp_path)
    assert len(read_sorter_folder(folder).unit_ids) > 0


def run_script(script, folder):
    (folder / "script.py").write_text(script)
    sbatch = folder / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(SBATCH)
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    env = {name: value for name, value in os.environ.items() if name != "HUIDUREP_SORTER_NO_HOOK"}
    env |= {"PATH": f"{sbatch.parent}{os.pathsep}{env['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_hook_a_worker_would_not_know_the_sorter():
    """The reason for the hook: should this ever pass without it, the hook can go."""
    code = "from spikeinterface.sorters import sorterlist; sorterlist.sorter_dict['huidurep']"
    env = os.environ | {"HUIDUREP_SORTER_NO_HOOK": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "KeyError: 'huidurep'" in done.stderr
