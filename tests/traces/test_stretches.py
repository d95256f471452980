"""The stretches that are learned from: the same traces from a file, and nothing of it stays."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, load
from spikeinterface.preprocessing import scale

from huidurep_sorter.traces import passes, stretches
from huidurep_sorter.traces.passes import PassLimits
from huidurep_sorter.traces.stretches import keep_stretches

RUNS = np.array([[0, 1000], [5000, 6000], [9500, 10_000]])
ONE, TWO = (
    dict(n_jobs=1, progress_bar=False),
    dict(n_jobs=2, progress_bar=False, pool_engine="process", chunk_duration="1s"),
)


@pytest.fixture(autouse=True)
def workers_for_short_recordings(monkeypatch):
    monkeypatch.setattr(passes, "LIMITS", PassLimits(min_channel_seconds=0.0))


@pytest.fixture
def recording():
    traces = np.random.default_rng(0).normal(size=(10_000, 4)).astype("float32")
    return scale(NumpyRecording([traces], 1000.0), gain=2.0, dtype="float32")


@pytest.mark.parametrize("job_kwargs", [ONE, TWO | dict(mp_context="spawn")])
def test_the_traces_are_the_same_within_stretches_beside_and_across(recording, tmp_path, job_kwargs):
    with keep_stretches(recording, RUNS, 1e6, tmp_path / "kept", job_kwargs) as kept:
        for start, stop in [(0, 1000), (5000, 5100), (4800, 6200), (5990, 6310), (2000, 3000), (9300, 10_000)]:
            expected = recording.get_traces(start_frame=start, end_frame=stop)
            assert np.array_equal(kept.get_traces(start_frame=start, end_frame=stop), expected)
        some = kept.get_traces(start_frame=10, end_frame=20, channel_ids=kept.channel_ids[[2, 0]])
        assert np.array_equal(some, recording.get_traces(start_frame=10, end_frame=20)[:, [2, 0]])
        again = load(kept.to_dict())  # as a worker gets it
        assert np.array_equal(again.get_traces(start_frame=5000, end_frame=5010), recording.get_traces()[5000:5010])
    assert not (tmp_path / "kept").exists()


def test_what_was_kept_is_read_and_not_computed(recording, tmp_path, monkeypatch):
    with keep_stretches(recording, RUNS, 1e6, tmp_path / "kept", ONE) as kept:
        monkeypatch.setattr(type(recording.segments[0]), "get_traces", lambda *_: pytest.fail("computed"))
        kept.get_traces(start_frame=0, end_frame=1300)  # with the margin
        kept.get_traces(start_frame=4700, end_frame=6300)


def test_nothing_stays_after_an_error(recording, tmp_path):
    with pytest.raises(ZeroDivisionError):
        with keep_stretches(recording, RUNS, 1e6, tmp_path / "kept", ONE):
            raise ZeroDivisionError
    assert not (tmp_path / "kept").exists()


def no_room(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("job_kwargs", [ONE, TWO])
@pytest.mark.parametrize("when", ["from the start", "while it is written", "no place for the folder"])
def test_on_a_full_disk_the_traces_are_computed(recording, tmp_path, monkeypatch, caplog, when, job_kwargs):
    folder = tmp_path / "kept"
    if when == "from the start":
        monkeypatch.setattr(stretches.shutil, "disk_usage", lambda _: type("Usage", (), dict(free=1000)))
    elif when == "while it is written":
        monkeypatch.setattr(stretches, "write_stretch", no_room)
    else:
        folder.touch()
        folder = folder / "within"
    with keep_stretches(recording, RUNS, 1e6, folder, job_kwargs) as kept:
        assert kept is recording
    assert "can't keep" in caplog.text and not folder.exists()


def test_as_many_stretches_are_kept_as_fit(recording, tmp_path):
    of_one = 4 * 4 * 1600  # bytes of the longest, with its margins
    for most_bytes, n_kept in ((of_one - 1, 0), (of_one, 1), (2 * of_one + 5, 2), (10 * of_one, 3)):
        with keep_stretches(recording, RUNS, most_bytes, tmp_path / "kept", ONE) as kept:
            assert (0 if kept is recording else len(kept.segments[0].runs)) == n_kept
            assert n_kept == 0 or (tmp_path / "kept" / "stretches.raw").stat().st_size <= most_bytes
