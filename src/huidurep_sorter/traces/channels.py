"""Channels that can't be trusted: which, and why."""

import logging
from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks
from spikeinterface.core.recording_tools import get_channel_distances
from spikeinterface.preprocessing import detect_bad_channels

from huidurep_sorter.traces.periods import as_runs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ChannelRules:
    """What a broken contact does and a neuron doesn't, and where channels outside of the brain are looked for."""

    neighbour_um: float = 40.0  # um; so near, a contact sees part of any large spike of its neighbour (traces-24)
    n_neighbours: int = 2  # nearest channels, of which one must see it (traces-24)
    min_size: float = 15.0  # noise units of a peak; noise on the neighbours is small beside it (traces-24)
    min_share_seen: float = 0.12  # of its size, on a neighbour at that sample; less: no neuron did it (traces-24)
    min_peaks: int = 5  # such peaks in what is looked at; a limit: fewer say nothing
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


def leave_out_popping(recording, noise_levels, stretches):
    """Leave out channels that pop: most of their large peaks are seen by no neighbour, as those of loose contacts.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, without artefacts, of one segment.
    noise_levels : (n_channels,) float
    stretches : structured array (n_stretches,)
        Periods that are looked at.

    Returns
    -------
    recording : BaseRecording
        The same if none pops.
    """
    popping = find_popping(recording, noise_levels, stretches)
    if not popping.any():
        return recording
    names = ", ".join(map(str, recording.channel_ids[popping]))
    logger.warning("channels with large peaks that no neighbour sees (loose contacts?) are left out: %s", names)
    return recording.select_channels(recording.channel_ids[~popping])


def find_popping(recording, noise_levels, stretches):
    """Find channels most of whose large peaks are seen by no neighbour, (n_channels,) bool."""
    distances = get_channel_distances(recording)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : RULES.n_neighbours]
    shares = [[] for _ in noise_levels]
    for start, stop in as_runs(stretches):
        traces = np.abs(recording.get_traces(start_frame=start, end_frame=stop) / noise_levels)
        for channel in np.flatnonzero(distances.min(axis=1) <= RULES.neighbour_um):
            peaks, _ = find_peaks(traces[:, channel], height=RULES.min_size)
            seen = traces[peaks][:, nearest[channel]].max(axis=1)
            shares[channel] += (seen / traces[peaks, channel]).tolist()
    return np.array([len(s) >= RULES.min_peaks and np.median(s) < RULES.min_share_seen for s in shares], dtype=bool)
