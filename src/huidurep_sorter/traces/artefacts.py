"""Artefacts: stretches that are far louder, on all channels at once, than the recording is around them.

An animal licks, chews or steps, a muscle twitches, a stimulator fires. No spike does this: it is seen by the channels
around its neuron, and the others know nothing of it. What the channels have in common is taken off such a stretch,
each by its own gain; where too much is left even then, as where the amplifier was saturated, the stretch is filled
with noise. On a small probe, such as a tetrode, every channel sees every spike: only what no spike can do is an
artefact there, and it is filled.
"""

import logging
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.ndimage import median_filter
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from huidurep_sorter.traces.passes import map_pieces, pieces_of
from huidurep_sorter.traces.periods import (
    as_periods,
    as_runs,
    find_overlapping,
    find_runs,
    merge_periods,
    merge_runs,
    read_stretches,
    take_spread,
    without_periods,
)
from huidurep_sorter.traces.snippets import VALUES_PER_CHUNK

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ArtefactRules:
    """What counts as an artefact. Levels are those of `levels_of`, over the recording's own around that time."""

    bin_ms: float = 5.0  # ms over which a level is measured; about the shortest artefact (traces-21)
    quantiles: tuple = (0.1, 0.25, 0.5)  # of channels; most are far from any spike (traces-21)
    weights: tuple = (1.0, 0.7, 0.5)  # of their levels; spikes reach the level of half more often (traces-21)
    max_channels: int = 128  # over which these are taken, spread along the probe; a limit of time (traces-34)
    baseline_s: float = 10.0  # s over which the usual level is a quantile; noise changes slowly (traces-21)
    quantiles_of_calm: tuple = (0.25, 0.5)  # of levels; artefacts may fill half of such a stretch (traces-30)
    max_share_of_time: float = 0.8  # of it; more is how the recording is: the next quantile, or none (traces-30)
    n_baselines: int = 3  # such stretches, over which it is a median again (traces-21)
    min_level: float = 2.0  # an artefact is so loud somewhere (traces-21)
    max_brief_bins: int = 2  # a large spike and a neighbour's are as long as that (traces-28)
    min_level_of_brief: float = 4.0  # of what is no longer; they reach 3.1 (traces-28)
    min_level_of_edge: float = 1.3  # and lasts as long as it is so loud (traces-21)
    max_level_left: float = 2.0  # what may be left of it when the common signal is off (traces-21)
    n_stretches: int = 20  # outside of artefacts, in which the largest spikes are looked for (traces-30)
    stretch_s: float = 0.5  # s of such a stretch (traces-30)
    quantile_of_largest: float = 0.9  # of them; so that no single one decides (traces-30)
    times_largest: float = 2.0  # what is so large within an artefact is no spike (traces-30)
    spike_reach_um: float = 75.0  # um from its neuron, beyond which a spike is hardly seen (traces-21)
    min_share_beyond_reach: float = 0.2  # of channels, from the probe's middle; fewer: a small probe (traces-21)
    min_level_of_noise: float = 6.0  # of what isn't common, or on a small probe, where spikes are louder (traces-21)
    times_dense_spikes: float = 4.0  # on a small probe, times the level that one bin in 20 exceeds (traces-25)
    max_level_of_spikes: float = 16.0  # on a small probe, the densest spikes; more is no spike (traces-27)
    min_share_of_artefact: float = 0.4  # of a channel's energy that is common; less: neurons that burst (traces-21)
    quantile_of_share: float = 0.25  # of the channels that may have less in common (traces-21)
    min_variance: float = 1e-6  # noise units squared; a limit: with less there is nothing in common, nor a signal
    max_piece_ms: float = 100.0  # ms of an artefact with one gain of each channel (traces-21)


RULES = ArtefactRules()


@dataclass(frozen=True, kw_only=True)
class Artefacts:
    """Artefacts of a recording of one segment.

    Attributes
    ----------
    reduced : structured array (n_reduced,)
        Periods, SpikeInterface's `base_period_dtype`, in order, from which the common signal is taken off.
    gains : (n_reduced, n_channels) float32
        Of the common signal on each channel.
    filled : structured array (n_filled,)
        Periods in which too much is left even then.
    """

    reduced: np.ndarray
    gains: np.ndarray
    filled: np.ndarray

    def all(self):
        """Give all of the periods, in order; pieces of one artefact become one."""
        return merge_periods(self.reduced, self.filled)


def find_artefacts(recording, noise_levels, silent, job_kwargs=None) -> Artefacts:
    """Find artefacts.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, without a common reference, of one segment; read once, from start to end.
    noise_levels : (n_channels,) float
    silent : structured array (n_silent,)
        Periods without a signal, which say nothing about the usual level.
    job_kwargs : dict, optional
    """
    n_samples, n_per_bin = recording.get_total_samples(), bin_samples(recording.sampling_frequency)
    small = is_small(recording.get_channel_locations()[:, :2])
    levels = measure_levels(recording, noise_levels, small, job_kwargs)
    for start, stop in as_runs(silent):
        levels[start // n_per_bin : -(-stop // n_per_bin)] = np.nan
    usual, runs = find_artefact_runs(levels, recording.sampling_frequency, small)
    found = as_periods([np.minimum(runs * n_per_bin, n_samples)])
    if small:
        return Artefacts(reduced=found[:0], gains=np.zeros((0, len(noise_levels))), filled=found)
    outside = without_periods(recording, merge_periods(silent, found))
    largest = RULES.times_largest * measure_largest(outside) / noise_levels
    reduced, gains, filled = [np.zeros((0, 2), dtype="int64")], [np.zeros((0, len(noise_levels)))], [runs[:0]]
    for first, last in cut_into_pieces(runs):
        start, stop = first * n_per_bin, min(last * n_per_bin, n_samples)
        traces = recording.get_traces(start_frame=start, end_frame=stop) / noise_levels.astype("float64")
        gain, loud = examine_piece(traces, usual[first:last], largest, n_per_bin)
        filled.append(first + find_runs(loud))
        if gain is not None:
            reduced.append([[start, stop]])
            gains.append([gain * noise_levels])
    return Artefacts(
        reduced=as_periods([np.concatenate(reduced)]),
        gains=np.concatenate(gains).astype("float32"),
        filled=as_periods([np.minimum(merge_runs(np.concatenate(filled)) * n_per_bin, n_samples)]),
    )


def find_artefact_runs(levels, sampling_frequency, small):
    """Find the bins of artefacts, unless they would be nearly all of the recording.

    Returns
    -------
    usual : (n_bins,) float
        As from `usual_levels`.
    runs : (n_runs, 2) int64
        Of bins.
    """
    for quantile in RULES.quantiles_of_calm:
        usual = usual_levels(levels, sampling_frequency, quantile)
        relative = levels / usual
        runs = find_loud(relative, least_on_small_probe(relative) if small else RULES.min_level)
        if np.diff(runs).sum() < RULES.max_share_of_time * np.isfinite(levels).sum():
            return usual, runs
    logger.warning("artefacts would be nearly all of the recording: none is set aside")
    return usual, runs[:0]


def examine_piece(traces, usual, largest, n_per_bin):
    """Find what the channels have in common in a piece of an artefact, and the bins in which too much else is left.

    What is left is too much as a level, or on a channel that is larger than its spikes are elsewhere. The gains are
    found once more without such bins: what was saturated tells nothing about those of the rest.

    Parameters
    ----------
    traces : (n_samples, n_channels) float64
        In noise units.
    usual : (n_bins,) float
        Levels around that time.
    largest : (n_channels,) float
        Noise units; more is no spike.
    n_per_bin : int

    Returns
    -------
    gain : (n_channels,) float64 or None
        Of the common signal; None where there is little in common.
    loud : (n_bins,) bool
    """
    loud = np.zeros(len(usual), dtype=bool)
    for _ in range(2):
        gain, share = estimate_gain(traces[~np.repeat(loud, n_per_bin)[: len(traces)]])
        if share < RULES.min_share_of_artefact:
            return None, loud | (levels_of(traces, n_per_bin, small=True) > RULES.min_level_of_noise * usual)
        left = traces - common_signal(traces, gain)[:, None] * gain
        larger = np.flatnonzero((np.abs(left) > largest).any(axis=1)) // n_per_bin
        loud = loud | (levels_of(left, n_per_bin, small=False) > RULES.max_level_left * usual)
        loud[larger] = True
    return gain, loud


def least_on_small_probe(relative):
    """Give the level from which a bin is an artefact where every channel sees every spike, and spikes may overlap."""
    of_dense_spikes = RULES.times_dense_spikes * np.nanpercentile(relative, 95)
    return np.clip(of_dense_spikes, RULES.min_level_of_noise, RULES.max_level_of_spikes)


def measure_largest(recording):
    """Measure the largest values of each channel in stretches of it, (n_channels,): all but those of few stretches."""
    stretches = read_stretches(recording, RULES.stretch_s, RULES.n_stretches)
    return np.quantile([np.abs(traces).max(axis=0) for traces in stretches], RULES.quantile_of_largest, axis=0)


def is_small(locations_um):
    """Say whether spikes reach all of a probe: whether few channels are far from its middle."""
    away_um = np.linalg.norm(locations_um - np.median(locations_um, axis=0), axis=1)
    return (away_um > RULES.spike_reach_um).mean() < RULES.min_share_beyond_reach


def bin_samples(sampling_frequency):
    """Count the samples of a bin."""
    return max(int(RULES.bin_ms * sampling_frequency / 1000), 1)


def measure_levels(recording, noise_levels, small, job_kwargs=None):
    """Measure how loud each bin of a recording is on all channels, (n_bins,) float64; about 1.

    Of many channels some are enough, which are spread along the probe: a quantile of them is that of all.
    """
    depths = np.argsort(recording.get_channel_locations()[:, 1], kind="stable")
    chosen = np.sort(take_spread(depths, RULES.max_channels))
    if len(chosen) < len(depths):
        recording, noise_levels = recording.select_channels(recording.channel_ids[chosen]), noise_levels[chosen]
    n_per_bin = bin_samples(recording.sampling_frequency)
    size = max(VALUES_PER_CHUNK // (n_per_bin * len(noise_levels)), 1) * n_per_bin
    measure = partial(read_levels, noise_levels=noise_levels, n_per_bin=n_per_bin, small=small)
    return np.concatenate(map_pieces(recording, measure, pieces_of(recording, size), job_kwargs, name="find artefacts"))


def read_levels(recording, segment_index, start, stop, noise_levels, n_per_bin, small):
    """Read a piece of a recording, and measure how loud each bin of it is, (n_bins,) float64."""
    traces = recording.get_traces(segment_index=segment_index, start_frame=start, end_frame=stop)
    return levels_of(traces / noise_levels, n_per_bin, small)


def levels_of(traces, n_per_bin, small):
    """Measure how loud each bin of traces is, which are in noise units, (n_bins,) float64.

    It is the RMS of a channel that all channels exceed but for `quantiles` of them: the largest of these, weighted. On
    a small probe it is the median absolute value instead of the RMS: no spike fills half of a bin.
    """
    missing = np.full((-len(traces) % n_per_bin, traces.shape[1]), np.nan, traces.dtype)
    binned = np.concatenate([traces, missing]).reshape(-1, n_per_bin, traces.shape[1])
    size = np.nanmedian(np.abs(binned), axis=1) / 0.6745 if small else np.sqrt(np.nanmean(binned**2, axis=1))
    return np.max(np.quantile(size, RULES.quantiles, axis=1).T * RULES.weights, axis=1)


def usual_levels(levels, sampling_frequency, quantile):
    """Give the level that is usual around each bin, (n_bins,): a median of that of calm moments; levels may be NaN."""
    per_block = max(int(RULES.baseline_s * sampling_frequency / bin_samples(sampling_frequency)), 1)
    n_blocks = max(len(levels) // per_block, 1)
    known = [block[block > 0] for block in np.array_split(levels, n_blocks)]
    blocks = np.array([np.quantile(block, quantile) if block.size else np.nan for block in known])
    if np.isnan(blocks).all():
        return np.ones(len(levels))
    blocks[~np.isfinite(blocks)] = np.nanmedian(blocks)
    blocks = median_filter(blocks, RULES.n_baselines, mode="nearest")
    return np.interp(np.arange(len(levels)), (np.arange(n_blocks) + 0.5) * len(levels) / n_blocks, blocks)


def find_loud(relative, min_level):
    """Find runs of bins that are as loud as an edge throughout, and as an artefact somewhere, (n_runs, 2) int64.

    A bin on each side belongs to a run: what begins or ends within it doesn't make it loud.
    """
    runs = find_runs(relative > RULES.min_level_of_edge)
    brief = np.diff(runs, axis=1)[:, 0] <= RULES.max_brief_bins
    least = np.where(brief, max(min_level, RULES.min_level_of_brief), min_level)
    loud = [relative[first:last].max() > level for (first, last), level in zip(runs, least, strict=True)]
    return np.clip(merge_runs(runs[np.array(loud, dtype=bool)] + [-1, 1]), 0, len(relative))


def cut_into_pieces(runs):
    """Cut runs of bins into pieces of about `max_piece_ms`, (n_pieces, 2) int64."""
    most = max(int(RULES.max_piece_ms / RULES.bin_ms), 1)
    pieces = [np.zeros((0, 2), dtype="int64")]
    for first, last in runs:
        edges = np.linspace(first, last, -(-(last - first) // most) + 1).astype("int64")
        pieces.append(np.column_stack([edges[:-1], edges[1:]]))
    return np.concatenate(pieces)


def estimate_gain(traces):
    """Estimate by least squares how much each channel has of the common signal.

    The common signal is the median of the channels, each over its gain: first as they are, then over what was found.

    Parameters
    ----------
    traces : (n_samples, n_channels) float64
        In noise units.

    Returns
    -------
    gain : (n_channels,) float64
    share : float
        Of its energy that is common, which all channels exceed but for `quantile_of_share` of them.
    """
    gain, least = np.ones(traces.shape[1]), RULES.min_variance * max(len(traces), 1)
    for _ in range(2):
        common = common_signal(traces, gain).astype("float64")
        energy = max(common @ common, least)
        gain = traces.T @ common / energy
    share = gain**2 * energy / np.maximum((traces**2).sum(axis=0), least)
    return gain, np.quantile(share, RULES.quantile_of_share)


def common_signal(traces, gains):
    """Give the median over channels of the traces, each over its gain, (n_samples,) float32."""
    heard = np.abs(gains) > 0.2 * np.median(np.abs(gains))  # a channel that hears little of it says nothing about it
    if not heard.any():  # more than half of the channels are silent here
        return np.zeros(len(traces), dtype="float32")
    return np.median(traces[:, heard] / gains[heard], axis=1).astype("float32")


class ReducedArtefactsRecording(BasePreprocessor):
    """A recording without the common signal of its artefacts, computed when it is read.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    periods : structured array (n_periods,)
    gains : (n_periods, n_channels) float32
    """

    def __init__(self, recording, periods, gains):
        super().__init__(recording)
        self.add_recording_segment(ReducedArtefactsSegment(recording.segments[0], as_runs(periods), gains))
        self._serializability["json"] = False
        self._kwargs = dict(recording=recording, periods=periods, gains=gains)


class ReducedArtefactsSegment(BasePreprocessorSegment):
    """See `ReducedArtefactsRecording`; runs are (n, 2) int64, the first sample and the last + 1."""

    def __init__(self, parent, runs, gains):
        super().__init__(parent)
        self.runs, self.gains = runs, gains

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read all channels, which are needed to know what they have in common, and give those that are asked for."""
        here = find_overlapping(self.runs, start_frame, end_frame)
        if len(self.runs[here]) == 0:
            return self.parent_recording_segment.get_traces(start_frame, end_frame, channel_indices)
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None)).copy()
        for (start, stop), gains in zip(self.runs[here], self.gains[here], strict=True):
            piece = traces[max(start - start_frame, 0) : stop - start_frame]
            piece -= common_signal(piece, gains)[:, None] * gains
        return traces[:, channel_indices]
