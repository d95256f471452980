"""Correction of motion by kriging: as SpikeInterface's, without the products that are nearly zero.

The contacts stay where they are, so that their covariance is inverted once and not for each stretch of time.
"""

from dataclasses import dataclass

import numpy as np
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment
from spikeinterface.preprocessing.preprocessing_tools import get_kriging_kernel_distance
from threadpoolctl import threadpool_limits

from huidurep_sorter.traces.whitening import cut_into_blocks, multiply_blocks


@dataclass(frozen=True, kw_only=True)
class InterpolationRules:
    """How traces are interpolated."""

    sigma_um: float = 20.0  # um; SpikeInterface's default (traces-5, traces-19)
    power: float = 2.0  # of the distance in the kernel: a Gaussian, as Kilosort's (traces-5)
    min_weight: float = 1e-3  # of a contact, a limit of time; the others add 0.2 % of a channel at most (traces-36)
    jitter: float = 1e-6  # of variance, so that a covariance can be inverted; SpikeInterface's default
    bin_s: float = 1.0  # s in which the motion is taken as constant; DREDge's default


RULES = InterpolationRules()


class MotionCorrectedRecording(BasePreprocessor):
    """A recording as if nothing had moved, computed when it is read; channels at the ends are extrapolated.

    Parameters
    ----------
    recording : BaseRecording
        float32.
    motion : Motion
        SpikeInterface's.
    """

    def __init__(self, recording, motion):
        super().__init__(recording, dtype="float32")
        for index, parent in enumerate(recording.segments):
            segment = MotionCorrectedSegment(parent, recording.get_channel_locations(), motion, index)
            self.add_recording_segment(segment)
        self._serializability["json"] = False  # nor is a Motion
        self._kwargs = dict(recording=recording, motion=motion)


class MotionCorrectedSegment(BasePreprocessorSegment):
    """See `MotionCorrectedRecording`."""

    def __init__(self, parent, locations_um, motion, index):
        super().__init__(parent)
        self.locations_um, self.motion, self.index = locations_um, motion, index
        self.order = np.argsort(locations_um[:, 1], kind="stable")
        covariance = get_kriging_kernel_distance(locations_um, locations_um, RULES.sigma_um, RULES.power)
        with threadpool_limits(limits=1):  # its last digits depend on the number of threads
            self.inverse = np.linalg.inv(covariance + RULES.jitter * np.eye(len(covariance)))

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read all channels and interpolate them, (n_samples, n_channels) float32."""
        parent = self.parent_recording_segment
        traces = parent.get_traces(start_frame, end_frame, slice(None)).astype("float32", copy=False)
        corrected = np.empty_like(traces)
        start_s = parent.sample_index_to_time(0)
        bins = np.floor((parent.sample_index_to_time(np.arange(start_frame, end_frame)) - start_s) / RULES.bin_s)
        edges = np.r_[np.flatnonzero(np.diff(bins, prepend=np.nan)), len(bins)]
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            blocks = cut_into_blocks(self.weights_at(start_s + (bins[start] + 0.5) * RULES.bin_s), self.order)
            multiply_blocks(traces[start:stop], blocks, corrected[start:stop])
        return corrected[:, channel_indices]

    def weights_at(self, time_s):
        """Give the weight of each contact in each place where it would be without motion, (n, n) float32."""
        moved, axis = self.locations_um.copy(), self.motion.dim
        when, where = np.full(len(moved), time_s), moved[:, axis]
        moved[:, axis] += self.motion.get_displacement_at_time_and_depth(when, where, segment_index=self.index)
        weights = self.inverse @ get_kriging_kernel_distance(self.locations_um, moved, RULES.sigma_um, RULES.power)
        low, high = self.locations_um.min(axis=0), self.locations_um.max(axis=0)
        inside = ((moved >= low) & (moved <= high)).all(axis=1)
        weights[:, inside] /= weights[:, inside].sum(axis=0)
        return np.where(np.abs(weights) >= RULES.min_weight, weights, 0.0).astype("float32")
