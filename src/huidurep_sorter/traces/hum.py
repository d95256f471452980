"""Hum: tones that are there all the time, as those of the mains, of lamps and of power supplies, and their harmonics.

They stand out of the spectrum as lines. At each moment every channel has an amplitude and a phase of its own for each
tone, which a fit of sinusoids to the traces around that moment tells; the fit is taken off. A notch filter would ring
after every artefact, and where packets are lost.
"""

import logging
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import percentile_filter
from scipy.signal import find_peaks, periodogram
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from huidurep_sorter.traces.periods import are_within, read_stretches, without_periods

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HumRules:
    """Which tones are found, and how they are fitted."""

    max_channels: int = 64  # channels, spread over the probe, that are looked at; a limit of time
    n_stretches: int = 20  # of the recording, of which spectra are taken (traces-29)
    stretch_s: float = 2.0  # s of each; lines are about 1 Hz wide then (traces-29)
    floor_hz: float = 30.0  # Hz around a line, in which lies the floor that it stands on (traces-29)
    floor_percentile: float = 90.0  # of that; so slow pulses, whose lines are under 15 Hz apart, have none (traces-29)
    min_height: float = 10.0  # times that floor, on some channel (traces-29)
    min_apart_hz: float = 8.0  # Hz from line to line; nearer ones are one to the fit (traces-29)
    max_lines: int = 60  # the largest; a limit of time: a stimulator has hundreds
    min_share_of_line: float = 1e-3  # of a channel's variance; less is nothing, as outside of the band (traces-29)
    min_share: float = 0.02  # of a channel's variance that all lines hold; less is left alone (traces-29)
    frame_s: float = 0.125  # s from fit to fit, each over two frames: the mains' frequency wanders (traces-29)
    min_audible: float = 0.25  # of the samples of a fit; of fewer it would follow the spikes (traces-29)
    step: int = 7  # samples; every so many is enough for a median; a limit of time
    max_size: float = 10.0  # standard deviations; artefacts are cut off there, and no crest of a tone is (traces-29)
    max_size_left: float = 3.0  # of what a fit leaves; spikes and artefacts are left out of the next one (traces-29)
    n_fits: int = 3  # one after the other (traces-29)


RULES = HumRules()


def take_off_hum(recording, silent):
    """Take tones off, lazily; the recording itself where there are none.

    Parameters
    ----------
    recording : BaseRecording
        Band-passed, of one segment.
    silent : structured array (n_silent,)
        Periods without a signal, from which nothing is learned.

    Returns
    -------
    recording : BaseRecording
    """
    lines_hz = find_lines(without_periods(recording, silent))
    if len(lines_hz) == 0:
        return recording
    logger.info(
        "%d tones are taken off, as of the mains or a stimulator: %s Hz",
        len(lines_hz),
        ", ".join(f"{f:.1f}" for f in lines_hz),
    )
    return WithoutHumRecording(recording, lines_hz, silent)


def find_lines(recording):
    """Find the lines of the spectrum, (n_lines,) float64 in Hz; none where they hold little of the signal."""
    fs, n_channels, spectra = recording.sampling_frequency, recording.get_num_channels(), []
    if recording.get_total_samples() < int(RULES.stretch_s * fs):
        return np.zeros(0)
    some = recording.channel_ids[np.linspace(0, n_channels - 1, min(n_channels, RULES.max_channels)).astype(int)]
    for traces in read_stretches(recording, RULES.stretch_s, RULES.n_stretches, some):
        frequencies, power = periodogram(cut_off(traces.astype("float32")), fs, window="hann", axis=0)
        spectra.append(power.astype("float32"))
    power = np.median(spectra, axis=0)
    around = int(RULES.floor_hz * RULES.stretch_s) // 2 * 2 + 1
    floor = percentile_filter(power, RULES.floor_percentile, (around, 1), mode="nearest")
    height = (power / np.maximum(floor, np.finfo("float64").tiny)).max(axis=1)
    lines, _ = find_peaks(height, height=RULES.min_height, distance=RULES.min_apart_hz * RULES.stretch_s)
    near = lines[:, None] + np.arange(-1, 2)  # a line of a Hann window is three bins wide
    shares = (power - floor)[near].sum(axis=1) / np.maximum(power.sum(axis=0), np.finfo("float64").tiny)
    order = np.argsort(-shares.max(axis=1), kind="stable")[: RULES.max_lines]
    kept = np.sort(order[shares[order].max(axis=1) > RULES.min_share_of_line])
    if not (shares[kept].sum(axis=0) > RULES.min_share).any():
        return np.zeros(0)
    return np.average(frequencies[near[kept]], axis=1, weights=height[near[kept]])


def cut_off(traces):
    """Cut off what is larger than noise and tones are, (n_samples, n_channels)."""
    limit = RULES.max_size * deviation(traces)
    return np.clip(traces, -limit, limit)


def deviation(traces):
    """Estimate the standard deviation of each channel by the median absolute value, (n_channels,)."""
    return np.median(np.abs(traces[:: RULES.step]), axis=0) / 0.6745


class WithoutHumRecording(BasePreprocessor):
    """A recording without its tones, computed when it is read.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    lines_hz : (n_lines,) float64
    silent : structured array (n_silent,)
        Periods that are left as they are, and that no fit sees.
    """

    def __init__(self, recording, lines_hz, silent):
        super().__init__(recording, dtype="float32")
        segment = WithoutHumSegment(recording.segments[0], recording.sampling_frequency, lines_hz, silent)
        self.add_recording_segment(segment)
        self._serializability["json"] = False
        self._kwargs = dict(recording=recording, lines_hz=lines_hz, silent=silent)


class WithoutHumSegment(BasePreprocessorSegment):
    """See `WithoutHumRecording`."""

    def __init__(self, parent, sampling_frequency, lines_hz, silent):
        super().__init__(parent)
        self.frame, self.silent = int(RULES.frame_s * sampling_frequency), silent
        at = np.arange(-self.frame, self.frame)
        phase = np.outer(at, 2 * np.pi * np.asarray(lines_hz) / sampling_frequency)
        self.waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=1).astype("float32")
        self.weights = (1 - np.abs(at) / self.frame).astype("float32")[:, None]

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read the whole frames around what is asked for, so that the result does not depend on where a chunk begins.

        There is a fit at each end of a frame, over the two frames beside it; within it one fades into the other.
        """
        n, n_samples = self.frame, self.get_num_samples()
        first, last = start_frame // n, -(-end_frame // n)
        start, stop = max((first - 1) * n, 0), min((last + 1) * n, n_samples)
        traces = self.parent_recording_segment.get_traces(start, stop, channel_indices).astype("float32")
        audible = ~are_within(np.arange(start, stop), self.silent)
        tones = np.zeros_like(traces)
        for middle in range(first * n, (last + 1) * n, n):
            here = slice(max(middle - n, 0) - start, min(middle + n, n_samples) - start)
            window = slice(here.start + start - middle + n, here.stop + start - middle + n)
            fit = fit_tones(traces[here], self.waves[window], audible[here])
            tones[here] += self.weights[window] * fit
        tones[~audible] = 0
        return (traces - tones)[start_frame - start : end_frame - start]


def fit_tones(traces, waves, audible):
    """Fit waves, (n_samples, n_waves), to each channel by least squares over audible samples, (n_samples, n_channels).

    It is zero where too little is audible.
    """
    if audible.sum() < RULES.min_audible * len(waves):
        return np.zeros_like(traces)
    heard, values = (waves, traces) if audible.all() else (waves[audible], traces[audible])
    products = heard.T @ heard
    products[np.diag_indices_from(products)] *= 1 + 1e-4  # two lines may be one to a short fit
    inverse = np.linalg.inv(products)
    amplitudes = inverse @ (heard.T @ cut_off(values))
    for _ in range(RULES.n_fits - 1):  # once more, now that it is known what is larger than noise
        left = values - heard @ amplitudes
        left[np.abs(left) > RULES.max_size_left * deviation(left)] = 0
        amplitudes += inverse @ (heard.T @ left)
    return waves @ amplitudes
