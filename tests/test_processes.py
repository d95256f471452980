"""Runs beside one another, workers, and ends in the middle: each in processes of their own, with real signals."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpySorting, Templates
from spikeinterface.sorters import read_sorter_folder, run_sorter
from spikeinterface.sorters.utils import SpikeSortingError

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.processes import FolderInUse, claim, claim_file, release
from huidurep_sorter.spikes.detection import make_matched_filter, threshold_detector
from huidurep_sorter.spikes.matched_filter import DetectorsTogether
from huidurep_sorter.templates.local_matching import LocalMatching
from huidurep_sorter.traces.preprocessing import open_traces, prepare

linux = pytest.mark.skipif(sys.platform != "linux", reason="signals, locks and /dev/shm as Linux has them")

WAITS = """
import os, sys, time
from pathlib import Path
from spikeinterface.core import load
from spikeinterface.core.job_tools import TimeSeriesChunkExecutor
from spikeinterface.sorters import run_sorter
from huidurep_sorter import pipeline

two_processes = dict(n_jobs=2, pool_engine="process")

def work(segment_index, start, stop, worker):
    Path(sys.argv[2], f"worker-{os.getpid()}").touch()
    time.sleep(60)

def detect(traces, parameters):
    Path(sys.argv[2], "memory").write_text(Path("/proc/self/maps").read_text())
    TimeSeriesChunkExecutor(traces.recording, work, dict, (), chunk_duration="1s", **two_processes).run()

pipeline.detect_peaks = detect
run_sorter(
    "huidurep", load(sys.argv[1]), folder=Path(sys.argv[2], "out"), remove_existing_folder=True, features="svd",
    apply_motion_correction=False, cache_preprocessing_mode=sys.argv[3], job_kwargs=two_processes,
)
"""


@contextlib.contextmanager
def a_run_in_the_middle(recording, folder, mode="auto"):
    """A process that sorts into folder/out, with two workers that are at it; and those workers' ids."""
    (folder / "waits.py").write_text(WAITS)
    args = [sys.executable, folder / "waits.py", recording._kwargs["folder_path"], folder, mode]
    heard = dict(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # also where we run under nohup
    with subprocess.Popen(args, start_new_session=True, stderr=subprocess.PIPE, text=True, **heard) as run:
        try:
            until(lambda: len(list(folder.glob("worker-*"))) == 2 or run.poll() is not None, 120)
            assert run.poll() is None, run.stderr.read()
            yield run, [int(path.name.removeprefix("worker-")) for path in folder.glob("worker-*")]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)


def until(condition, timeout_s=15):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


def lives(pid):
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def one_unit_sorting(recording, parameters, folder=None, verbose=False, job_kwargs=None):
    return NumpySorting.from_unit_dict([{"0": np.array([5, 90])}], recording.sampling_frequency)


@linux
@pytest.mark.parametrize("mode", ["memory", "folder"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL], ids=str)
def test_what_is_interrupted_leaves_no_worker_no_memory_and_no_cache(tetrode, tmp_path, monkeypatch, number, mode):
    with a_run_in_the_middle(tetrode[0], tmp_path, mode) as (run, workers):
        cache = tmp_path / "out" / "sorter_output" / "cache_preprocessing"
        maps = (tmp_path / "memory").read_text().splitlines()
        shared = {line.split()[-1] for line in maps if "/dev/shm/psm_" in line}
        assert cache.is_dir() == (mode == "folder") and bool(shared) == (mode == "memory")
        assert all(Path(path).exists() for path in shared) and all(map(lives, workers))
        if number == signal.SIGINT and mode == "memory":
            os.killpg(run.pid, number)  # as Ctrl-C of a terminal does
        else:
            run.send_signal(number)
        assert run.wait(timeout=20) == -number
        until(lambda: not any(map(lives, workers)))
        until(lambda: not any(Path(path).exists() for path in shared))
    if number != signal.SIGKILL:
        assert not cache.exists() and not claim_file(tmp_path / "out").exists()
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", one_unit_sorting)
    run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", remove_existing_folder=True, features="svd")
    assert not cache.exists() and not claim_file(tmp_path / "out").exists()
    assert len(read_sorter_folder(tmp_path / "out").unit_ids) == 1


@linux
def test_a_second_run_says_why_it_does_not_run_and_leaves_the_first_alone(tetrode, tmp_path, monkeypatch):
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", one_unit_sorting)
    options = dict(folder=tmp_path / "out", remove_existing_folder=True, features="svd")
    with a_run_in_the_middle(tetrode[0], tmp_path) as (run, _):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SpikeSortingError, match=f"process {run.pid} on .* is sorting into .*out, which is left"):
            run_sorter("huidurep", tetrode[0], **options)
        goes_on = dict(raise_error=False, with_output=False, delete_output_folder=True)  # as a batch does
        assert run_sorter("huidurep", tetrode[0], **options, **goes_on) is None
        assert sorted(tmp_path.rglob("*")) == before and run.poll() is None


def test_a_claim_is_of_one_thread_and_ends(tmp_path):
    refused = []

    def other():
        try:
            claim(tmp_path / "out")
        except FolderInUse as error:
            refused.append(str(error))
        release(tmp_path / "out")

    claim(tmp_path / "out")
    claim(tmp_path / "out")  # a run that never came to its end
    for _ in range(2):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        release(tmp_path / "out")
    assert len(refused) == 1 and "another thread of this process is sorting into" in refused[0]
    assert list(tmp_path.iterdir()) == []


def test_bad_parameters_and_folders_leave_no_claim(tetrode, tmp_path):
    for options in (dict(detect_threshold=-1), dict(no_such_parameter=1)):
        with pytest.raises(ValueError):
            run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", remove_existing_folder=True, **options)
    with pytest.raises(ValueError, match="already exists"):
        run_sorter("huidurep", tetrode[0], folder=tmp_path / "out")
    assert not claim_file(tmp_path / "out").exists()


def test_the_handler_of_sigterm_is_left_as_it_was(tetrode, tmp_path, monkeypatch):
    seen = []

    def spy(recording, *args, **kwargs):
        seen.append(signal.getsignal(signal.SIGTERM))
        return one_unit_sorting(recording, None)

    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", spy)
    before = signal.getsignal(signal.SIGTERM)
    run_sorter("huidurep", tetrode[0], folder=tmp_path / "a", features="svd")
    assert signal.getsignal(signal.SIGTERM) == before == signal.SIG_DFL and seen[0] != before

    def own(number, frame):
        pass

    signal.signal(signal.SIGTERM, own)
    try:
        run_sorter("huidurep", tetrode[0], folder=tmp_path / "b", features="svd")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen[1] == own


CALL = """
import multiprocessing, sys, threading
from spikeinterface.core import load
from spikeinterface.sorters import run_sorter

def sort(**job_kwargs):
    sorting = run_sorter(
        "huidurep", load(sys.argv[1]), folder=sys.argv[2], remove_existing_folder=True, features="svd",
        detection_method="locally_exclusive", clustering_method="gmm", apply_motion_correction=False,
        job_kwargs=dict(n_jobs=2, pool_engine="process") | job_kwargs,
    )
    print(len(sorting.unit_ids) > 0, flush=True)
"""
WAYS = {
    "thread": "worker = threading.Thread(target=sort)\nworker.start()\nworker.join()",
    "daemon": "worker = multiprocessing.get_context('fork').Process(target=sort, daemon=True)\n"
    "worker.start()\nworker.join()",
    "pool": "with multiprocessing.get_context('fork').Pool(1) as pool:\n    pool.apply(sort)",
    "spawn": "if __name__ == '__main__':\n    sort(mp_context='spawn')",
}


def sort_by(way, recording, folder):
    (folder / "calls.py").write_text(CALL + way)
    args = [sys.executable, folder / "calls.py", recording._kwargs["folder_path"], folder / "out"]
    return subprocess.run(args, capture_output=True, text=True, timeout=300)


@linux
@pytest.mark.parametrize("way", [*list(WAYS)[:-1], pytest.param("spawn", marks=pytest.mark.slow)])
def test_two_processes_however_the_sorter_is_called(tetrode, tmp_path, way):
    done = sort_by(WAYS[way], tetrode[0], tmp_path)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    log = (tmp_path / "out" / "sorter_output" / "huidurep.log").read_text()
    assert ("is a daemon" in log) == (way in ("daemon", "pool"))


@linux
def test_spawn_without_a_guard_says_what_to_do_and_leaves_the_folder_alone(tetrode, tmp_path):
    done = sort_by("sort(mp_context='spawn')", tetrode[0], tmp_path)
    assert done.returncode == 1 and "True" not in done.stdout
    assert "a worker process ended early: with mp_context='spawn', call the sorter under `if __name__" in done.stderr
    assert "each worker process runs this script anew" in done.stderr
    assert (tmp_path / "out" / "sorter_output" / "huidurep.log").is_file()


def test_a_worker_that_is_not_forked_loads_no_pytorch(tetrode, tmp_path):
    """What the workers of detection and matching get, read by a new interpreter."""
    parameters = SortingParameters()
    prepared, set_aside = prepare(tetrode[0], parameters)
    prototype = -np.hanning(105).astype("float32")
    options = dict(prototype=prototype, ms_before=52 / 30.0, random_chunk_kwargs=dict(seed=0))
    with open_traces(prepared, set_aside, parameters, tmp_path, dict(n_jobs=1, progress_bar=False)) as traces:
        detectors = [make_matched_filter(prepared, **options), threshold_detector(traces, parameters)]
    dense = np.random.default_rng(0).normal(size=(2, 60, 4)).astype("float32")
    templates = Templates(dense, prepared.sampling_frequency, 20).to_sparse(np.ones((2, 4), dtype=bool))
    nodes = [DetectorsTogether(prepared, detectors), LocalMatching(prepared, templates, traces.inverse_noise)]
    (tmp_path / "nodes.pkl").write_bytes(pickle.dumps(nodes))
    code = "import pickle, sys; nodes = pickle.load(open(sys.argv[1], 'rb')); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "nodes.pkl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
