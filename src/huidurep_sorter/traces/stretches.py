"""The stretches of a long recording that are learned from: computed once and kept in a file, not by each stage anew."""

import errno
import logging
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from huidurep_sorter.traces.passes import map_pieces
from huidurep_sorter.traces.periods import take_spread

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StretchLimits:
    """What is kept beside a stretch."""

    margin_samples: int = 300  # samples on each side, a limit: stages read spikes at its ends, and matching as many


LIMITS = StretchLimits()


@contextmanager
def keep_stretches(recording, runs, most_bytes, folder, job_kwargs):
    """Compute stretches of a recording once, and keep them in a file while in use; however it ends, nothing stays.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment, float32, computed when it is read.
    runs : (n_runs, 2) int64
        First sample, last sample + 1 of each stretch, in order.
    most_bytes : float
        Of the file; where not all stretches fit, it has some of them, spread over the recording.
    folder : Path
        Is made, and removed at the end.
    job_kwargs : dict

    Yields
    ------
    recording : BaseRecording
        With the same traces; the same recording where nothing can be kept.
    """
    runs = np.clip(runs + [-LIMITS.margin_samples, LIMITS.margin_samples], 0, recording.get_num_samples(0))
    n_kept = int(most_bytes / (4 * np.diff(runs).max() * recording.get_num_channels()))
    runs, path = take_spread(runs, n_kept), folder / "stretches.raw"
    try:
        are_kept = n_kept > 0 and write_stretches(recording, runs, path, job_kwargs)
        yield KeptStretchesRecording(recording, str(path), runs) if are_kept else recording
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_stretches(recording, runs, path, job_kwargs):
    """Compute stretches and write them to a file, and say whether there was room for it."""
    n_bytes = 4 * int(np.diff(runs).sum()) * recording.get_num_channels()
    pieces = [(0, int(start), int(stop)) for start, stop in runs]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        reserve(path, n_bytes)
        map_pieces(recording, partial(write_stretch, path=path, runs=runs), pieces, job_kwargs, name="keep")
    except OSError as error:
        reason = error.strerror or error
        logger.warning("%s can't keep %.3g GB (%s): each stage computes what it reads", path, n_bytes / 1e9, reason)
        return False
    logger.info("%d of the stretches that are learned from are kept: %.3g GB", len(runs), n_bytes / 1e9)
    return True


def reserve(path, n_bytes):
    """Make a file of some size, all of whose room is taken at once: where it isn't there, that is an error now."""
    with open(path, "wb") as file:
        if shutil.disk_usage(path.parent).free <= n_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            file.truncate(n_bytes)


def write_stretch(recording, segment_index, start_frame, end_frame, path, runs):
    """Compute a stretch, and write it to its place in the file."""
    traces = recording.get_traces(start_frame=start_frame, end_frame=end_frame).astype("float32", copy=False)
    place = first_samples(runs)[np.searchsorted(runs[:, 0], start_frame)]
    with open(path, "r+b") as file:
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
