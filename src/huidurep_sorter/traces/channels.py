"""Channels that can't be trusted: which, and why."""

import logging
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_propagation, maximum_filter1d
from scipy.signal import find_peaks
from spikeinterface.core.recording_tools import get_channel_distances, get_chunk_with_margin
from spikeinterface.preprocessing import detect_bad_channels
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from huidurep_sorter.traces.periods import as_runs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ChannelRules:
    """What a broken contact does and a neuron doesn't, and where channels outside of the brain are looked for."""

    neighbour_um: float = 30.0  # um; so near, a contact sees part of any large spike of its neighbour (traces-24)
    n_neighbours: int = 2  # nearest channels, of which one must see it (traces-24)
    min_size: float = 25.0  # noise units of a peak; noise on the neighbours is small beside it (traces-24)
    min_share_seen: float = 0.06  # of its size, on a neighbour at that sample; less: no neuron did it (traces-24)
    min_stretches: int = 3  # that hold such peaks, over which it is a median: no single event decides (traces-31)
    min_size_of_pop: float = 8.0  # noise units on a channel that pops (traces-24)
    max_share_of_pop: float = 0.15  # of its size, on its neighbours around that time (traces-24)
    around_ms: float = 0.3  # ms around it in which its neighbours would see a spike (traces-24)
    silenced_ms: float = 1.5  # ms around a pop (traces-24)
    min_size_of_ringing: float = 3.0  # noise units, down to which the filter's ringing is silenced (traces-31)
    max_ringing_ms: float = 10.0  # ms from a pop, beyond which it may not be; the ringing of 10 mV (traces-31)
    min_channels_of_long_probe: int = 64  # channels; a limit: shorter ones are all in the brain, or none is
    n_chunks: int = 30  # stretches of 0.3 s in which they are looked for; a limit of time


RULES = ChannelRules()


def leave_out_outside(recording, seed):
    """Leave out channels above the brain, by SpikeInterface's `detect_bad_channels`: they have no part in its noise.

    Only of a long probe, alone, whose gains are known.

    Parameters
    ----------
    recording : BaseRecording
        Raw, without missing values.
    seed : int
    """
    long = recording.get_num_channels() >= RULES.min_channels_of_long_probe and len(recording.get_probes()) == 1
    if not long or not recording.has_scaleable_traces():
        return recording
    _, labels = detect_bad_channels(
        recording,
        num_random_chunks=RULES.n_chunks,
        seed=seed,
        job_kwargs=dict(n_jobs=1, progress_bar=False),
    )
    outside = labels == "out"
    if not outside.any() or outside.all():
        return recording
    names = ", ".join(map(str, recording.channel_ids[outside]))
    logger.warning("channels outside of the brain are left out: %s", names)
    return recording.select_channels(recording.channel_ids[~outside])


def find_popping(recording, noise_levels, stretches):
    """Find channels most of whose large peaks, in most stretches, are seen by no neighbour, (n_channels,) bool.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, of one segment, without artefacts: what saturates comes to an end on each channel by itself.
    noise_levels : (n_channels,) float
    stretches : structured array (n_stretches,)
        Periods that are looked at.
    """
    nearest, away_um = nearest_channels(recording)
    shares = [[] for _ in noise_levels]
    for start, stop in as_runs(stretches):
        traces = np.abs(recording.get_traces(start_frame=start, end_frame=stop) / noise_levels)
        for channel in np.flatnonzero(away_um <= RULES.neighbour_um):
            peaks, _ = find_peaks(traces[:, channel], height=RULES.min_size)
            if peaks.size:
                seen = traces[peaks][:, nearest[channel]].max(axis=1)
                shares[channel].append(np.median(seen / traces[peaks, channel]))
    return np.array([len(s) >= RULES.min_stretches and np.median(s) < RULES.min_share_seen for s in shares], dtype=bool)


def silence_pops(recording, noise_levels, popping):
    """Silence the pops of loose contacts, lazily.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, of one segment.
    noise_levels : (n_channels,) float
    popping : (n_channels,) bool
        As from `find_popping`.

    Returns
    -------
    recording : BaseRecording
        The same if no channel pops.
    """
    if not popping.any():
        return recording
    names = ", ".join(map(str, recording.channel_ids[popping]))
    logger.warning("channels with large peaks that no neighbour sees (loose contacts?): they are silenced on %s", names)
    return SilencedPopsRecording(recording, noise_levels, np.flatnonzero(popping))


def nearest_channels(recording):
    """Find the nearest other channels of each, (n_channels, n_neighbours), and how far the first is, (n_channels,)."""
    distances = get_channel_distances(recording)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, : RULES.n_neighbours], distances.min(axis=1)


class SilencedPopsRecording(BasePreprocessor):
    """A recording that is zero on popping channels where no neighbour sees what they show, computed when it is read.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    noise_levels : (n_channels,) float
    popping : (n_popping,) int64
        Channels.
    """

    def __init__(self, recording, noise_levels, popping):
        super().__init__(recording)
        nearest, _ = nearest_channels(recording)
        segment = SilencedPopsSegment(
            recording.segments[0], recording.sampling_frequency, np.asarray(noise_levels), popping, nearest
        )
        self.add_recording_segment(segment)
        self._serializability["json"] = False
        self._kwargs = dict(recording=recording, noise_levels=noise_levels, popping=popping)


class SilencedPopsSegment(BasePreprocessorSegment):
    """See `SilencedPopsRecording`; `nearest` is (n_channels, n_neighbours)."""

    def __init__(self, parent, sampling_frequency, noise_levels, popping, nearest):
        super().__init__(parent)
        self.noise_levels, self.popping, self.nearest = noise_levels, popping, nearest
        durations_ms = (RULES.around_ms, RULES.silenced_ms, RULES.max_ringing_ms)
        self.around, self.silenced, self.ringing = (int(round(ms * sampling_frequency / 1000)) for ms in durations_ms)

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read all channels, with a margin, to know what the neighbours see, and give those that are asked for."""
        margin = self.around + self.silenced + self.ringing
        traces, left, _ = get_chunk_with_margin(
            self.parent_recording_segment, start_frame, end_frame, slice(None), margin
        )
        traces = traces.copy()
        size = np.abs(traces) / self.noise_levels
        for channel in self.popping:
            near = maximum_filter1d(size[:, self.nearest[channel]].max(axis=1), 2 * self.around + 1)
            pops = (size[:, channel] > RULES.min_size_of_pop) & (near < RULES.max_share_of_pop * size[:, channel])
            ringing = maximum_filter1d(size[:, channel], 2 * self.around + 1) > RULES.min_size_of_ringing
            pops = binary_propagation(pops, mask=ringing)
            traces[maximum_filter1d(pops, 2 * self.silenced + 1), channel] = 0
        return traces[left : left + end_frame - start_frame, channel_indices]
