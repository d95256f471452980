"""Whitening of each channel with those near it: as SpikeInterface's, without the products that are zero."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment


@dataclass(frozen=True, kw_only=True)
class WhiteningLimits:
    """How whitening is cut into products; no value depends on it but by rounding."""

    block_channels: int = 32  # channels whitened at once
    block_samples: int = 512  # samples, so that what is multiplied stays in the processor's cache


LIMITS = WhiteningLimits()


class LocallyWhitenedRecording(BasePreprocessor):
    """A recording multiplied by a matrix that is mostly zero, computed when it is read.

    Parameters
    ----------
    recording : BaseRecording
    matrix : (n_channels, n_channels) float32
        Column c has the weights of channel c.
    """

    def __init__(self, recording, matrix):
        matrix = np.asarray(matrix, dtype="float32")
        super().__init__(recording, dtype="float32")
        order = np.argsort(recording.get_channel_locations()[:, 1], kind="stable")
        blocks = cut_into_blocks(matrix, order)
        for parent in recording.segments:
            self.add_recording_segment(LocallyWhitenedSegment(parent, blocks))
        self._kwargs = dict(recording=recording, matrix=matrix.tolist())


def cut_into_blocks(matrix, order, n_channels=LIMITS.block_channels):
    """Cut a matrix into blocks of columns, with the rows that any of them needs.

    Parameters
    ----------
    matrix : (n, n) float32
    order : (n,) int64
        Of the columns, those that need the same rows beside each other.
    n_channels : int, optional
        Columns of a block.

    Returns
    -------
    blocks : list of (columns, rows, part)
        `part` is (n_rows, n_columns).
    """
    blocks = []
    for start in range(0, len(order), n_channels):
        columns = np.sort(order[start : start + n_channels])
        rows = np.flatnonzero(matrix[:, columns].any(axis=1))
        if len(rows) == 0:  # dead channels stay zero
            rows = columns
        if np.ptp(rows) < 1.5 * len(rows):
            rows = np.arange(rows[0], rows[-1] + 1)
        blocks.append((as_slice(columns), as_slice(rows), np.ascontiguousarray(matrix[np.ix_(rows, columns)])))
    return blocks


def as_slice(indices):
    """Give ascending indices as a slice if none is left out, so that nothing need be copied."""
    return slice(indices[0], indices[-1] + 1) if np.ptp(indices) == len(indices) - 1 else indices


class LocallyWhitenedSegment(BasePreprocessorSegment):
    """See `LocallyWhitenedRecording`."""

    def __init__(self, parent, blocks):
        super().__init__(parent)
        self.blocks = blocks

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read all channels and whiten them, (n_samples, n_channels) float32."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None))
        traces = traces.astype("float32", copy=False)
        whitened = np.empty_like(traces)
        multiply_blocks(traces, self.blocks, whitened)
        return whitened[:, channel_indices]


def multiply_blocks(traces, blocks, out):
    """Multiply traces (n_samples, n_channels) float32 by the blocks of a matrix, into an array of the same shape."""
    for start in range(0, len(traces), LIMITS.block_samples):
        here = slice(start, start + LIMITS.block_samples)
        for columns, rows, part in blocks:
            if isinstance(columns, slice):
                np.matmul(traces[here, rows], part, out=out[here, columns])
            else:
                out[here, columns] = traces[here, rows] @ part
