"""Where preprocessed traces are kept, and that nothing of them stays behind."""

import logging
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from huidurep_sorter.traces import cache
from huidurep_sorter.traces.cache import choose_place, keep_traces

NEEDED = 25_000 * 4 * 4  # bytes
TWO = dict(n_jobs=2, pool_engine="process", progress_bar=False, chunk_duration="0.1s")
THREADS = TWO | dict(pool_engine="thread")
ONE = TWO | dict(n_jobs=1)


@pytest.fixture
def recording():
    return NumpyRecording([np.random.default_rng(0).normal(size=(25_000, 4)).astype("float32")], 25000.0)


@pytest.fixture
def room(monkeypatch):
    """Say how much memory, and shared memory, is free."""

    def set_free(memory, shared):
        monkeypatch.setattr(cache.psutil, "virtual_memory", lambda: SimpleNamespace(available=memory))
        monkeypatch.setattr(cache, "free_shared_memory", lambda: shared)

    return set_free


@pytest.fixture
def made(monkeypatch):
    """Names of the shared memory that was made; other processes have some too."""
    names = []

    class Noted(cache.SharedMemory):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            names.append(self.name)

    monkeypatch.setattr(cache, "SharedMemory", Noted)
    return names


def none_is_left(names):
    return not any((cache.SHARED / name).exists() for name in names)


@pytest.mark.parametrize(
    ("mode", "job_kwargs", "memory", "shared", "has_folder", "place"),
    [
        ("auto", ONE, 3 * NEEDED, 0, True, "arrays"),  # one process needs no shared memory
        ("memory", ONE, 3 * NEEDED, 0, False, "arrays"),
        ("auto", THREADS, 3 * NEEDED, 0, True, "arrays"),  # nor do threads
        ("auto", TWO, 3 * NEEDED, 2 * NEEDED, True, "shared"),
        ("auto", TWO, 3 * NEEDED, NEEDED, True, "folder"),  # a small /dev/shm, as in Docker
        ("auto", TWO, 3 * NEEDED, NEEDED, False, "no-cache"),
        ("memory", TWO, 3 * NEEDED, NEEDED, True, "no-cache"),
        ("auto", ONE, NEEDED, 9 * NEEDED, True, "folder"),
        ("memory", ONE, NEEDED, 9 * NEEDED, True, "no-cache"),
        ("folder", ONE, 9 * NEEDED, 9 * NEEDED, True, "folder"),
        ("no-cache", TWO, 9 * NEEDED, 9 * NEEDED, True, "no-cache"),
    ],
)
def test_places(recording, room, caplog, mode, job_kwargs, memory, shared, has_folder, place):
    room(memory, shared)
    with caplog.at_level(logging.INFO, "huidurep_sorter"):
        assert choose_place(recording, mode, has_folder, job_kwargs) == place
    told = place in ("folder", "no-cache") and mode in ("auto", "memory")
    assert ("GB free" in caplog.text) == told


@pytest.mark.parametrize("end", ["well", "error", "interrupt"])
@pytest.mark.parametrize(
    ("mode", "job_kwargs"), [("auto", ONE), ("auto", TWO), ("auto", THREADS), ("folder", ONE), ("no-cache", TWO)]
)
def test_the_traces_are_the_same_and_nothing_of_them_stays(recording, made, tmp_path, mode, job_kwargs, end):
    held = []
    error = {"well": None, "error": RuntimeError, "interrupt": KeyboardInterrupt}[end]
    try:
        with keep_traces(recording, mode, tmp_path / "cache", job_kwargs) as kept:
            np.testing.assert_array_equal(kept.get_traces(), recording.get_traces())
            held.append(kept)  # as a traceback holds it
            if error:
                raise error
    except (RuntimeError, KeyboardInterrupt) as caught:
        held.append(caught)
    assert not (tmp_path / "cache").exists()
    assert none_is_left(made)


class Fails(NumpyRecording):
    """Fails in the middle, as a full disk or an interruption do."""

    def get_traces(self, *args, start_frame=None, **kwargs):
        if start_frame:
            raise OSError(28, "No space left on device")
        return super().get_traces(*args, start_frame=start_frame, **kwargs)

    get_data = get_traces


@pytest.mark.parametrize(("mode", "job_kwargs"), [("memory", TWO), ("memory", THREADS), ("folder", ONE)])
def test_traces_that_could_not_be_written_whole_do_not_stay(recording, made, tmp_path, mode, job_kwargs):
    with pytest.raises(OSError, match="No space left") as caught:
        with keep_traces(Fails([recording.get_traces()], 25000.0), mode, tmp_path / "cache", job_kwargs):
            raise AssertionError("it was whole")
    assert caught and not (tmp_path / "cache").exists()
    assert none_is_left(made)


@pytest.mark.skipif(not cache.SHARED.is_dir() or not hasattr(os, "posix_fallocate"), reason="Linux only")
def test_shared_memory_that_is_not_there_is_an_error_and_no_crash(recording, made, monkeypatch):
    more = 2 * shutil.disk_usage(cache.SHARED).total
    monkeypatch.setattr(recording, "get_num_samples", lambda segment_index=None: more // 16)
    with pytest.raises(OSError, match="/dev/shm is full: take n_jobs=1"):
        with cache.in_shared_memory(recording, TWO):
            pass
    assert none_is_left(made)
