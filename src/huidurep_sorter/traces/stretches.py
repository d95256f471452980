"""The stretches of a long recording that are learned from: computed once and kept in a file, not by each stage anew."""

import logging
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from spikeinterface.core.job_tools import TimeSeriesChunkExecutor
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StretchLimits:
    """What is kept beside a stretch."""

    margin_samples: int = 300  # samples on each side, a limit: stages read spikes at its ends, and matching as many


LIMITS = StretchLimits()


@contextmanager
def keep_stretches(recording, runs, folder, job_kwargs):
    """Compute stretches of a recording once, and keep them in a file while in use; however it ends, nothing stays.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment, float32, computed when it is read.
    runs : (n_runs, 2) int64
        First sample, last sample + 1 of each stretch, in order.
    folder : Path
        Is made, and removed at the end.
    job_kwargs : dict

    Yields
    ------
    recording : BaseRecording
        With the same traces; the same recording where the file finds no room.
    """
    runs = np.clip(runs + [-LIMITS.margin_samples, LIMITS.margin_samples], 0, recording.get_num_samples(0))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "stretches.raw"
    try:
        if not reserve(path, 4 * int(np.diff(runs).sum()) * recording.get_num_channels()):
            logger.warning("%s has no room for what is learned from: each stage computes it anew", folder)
            yield recording
            return
        kept = KeptStretchesRecording(recording, str(path), runs)
        slices = [(0, int(start), int(stop)) for start, stop in runs]
        args = (recording, str(path), runs)
        TimeSeriesChunkExecutor(recording, write_stretch, open_file, args, job_name="keep", **job_kwargs).run(slices)
        yield kept
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reserve(path, n_bytes):
    """Make a file of some size, and say whether there is room for it."""
    with open(path, "wb") as file:
        try:
            if shutil.disk_usage(path.parent).free <= n_bytes:
                return False
            os.truncate(file.fileno(), n_bytes)
        except OSError:
            return False
    return True


def open_file(recording, path, runs):
    """Hand to a worker what it writes, and where."""
    return dict(recording=recording, path=path, runs=runs)


def write_stretch(segment_index, start_frame, end_frame, worker):
    """Compute a stretch in a worker, and write it to its place in the file."""
    traces = worker["recording"].get_traces(start_frame=start_frame, end_frame=end_frame).astype("float32", copy=False)
    place = first_samples(worker["runs"])[np.searchsorted(worker["runs"][:, 0], start_frame)]
    with open(worker["path"], "r+b") as file:
        file.seek(4 * int(place) * traces.shape[1])
        np.ascontiguousarray(traces).tofile(file)


def first_samples(runs):
    """Give where each run begins in a file that has them end to end, (n_runs,) int64."""
    return np.r_[0, np.cumsum(np.diff(runs)[:, 0])[:-1]]


class KeptStretchesRecording(BasePreprocessor):
    """A recording some stretches of which are read from a file; all else is computed.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    path : str
        Has the traces of the runs end to end, float32.
    runs : (n_runs, 2) int64
    """

    def __init__(self, recording, path, runs):
        super().__init__(recording, dtype="float32")
        segment = KeptStretchesSegment(recording.segments[0], path, np.asarray(runs), recording.get_num_channels())
        self.add_recording_segment(segment)
        self._kwargs = dict(recording=recording, path=path, runs=np.asarray(runs).tolist())


class KeptStretchesSegment(BasePreprocessorSegment):
    """Reads with calls of the system, as pages of a mapped file would count as memory of the process."""

    def __init__(self, parent, path, runs, n_channels):
        super().__init__(parent)
        self.path, self.runs, self.first, self.n_channels = Path(path), runs, first_samples(runs), n_channels

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read from the file, or compute what is not whole in one stretch of it, (n_samples, n_channels) float32."""
        run = np.searchsorted(self.runs[:, 0], start_frame, side="right") - 1
        if run < 0 or end_frame > self.runs[run, 1]:
            return self.parent_recording_segment.get_traces(start_frame, end_frame, channel_indices)
        place = int(self.first[run] + start_frame - self.runs[run, 0]) * self.n_channels
        n_values = int(end_frame - start_frame) * self.n_channels
        traces = np.fromfile(self.path, dtype="float32", count=n_values, offset=4 * place)
        return traces.reshape(-1, self.n_channels)[:, channel_indices]
