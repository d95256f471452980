"""Peaks: found by a matched filter and by threshold, then thinned out to what is worth representing.

Another detector is another function in `DETECTORS`; parameters, help and documentation read its name from there.
"""

import logging
import warnings
from dataclasses import dataclass

import numpy as np
from spikeinterface.core.node_pipeline import base_peak_dtype, run_node_pipeline
from spikeinterface.sortingcomponents import peak_selection
from spikeinterface.sortingcomponents.peak_detection import locally_exclusive
from spikeinterface.sortingcomponents.peak_detection.locally_exclusive import LocallyExclusivePeakDetector
from spikeinterface.sortingcomponents.peak_detection.matched_filtering import MatchedFilteringPeakDetector
from spikeinterface.sortingcomponents.tools import get_prototype_and_waveforms_from_recording

from huidurep_sorter.runtime import NothingFound, keep_compiled, stage
from huidurep_sorter.spikes.matched_filter import DetectorsTogether, MatchedFilter, ThresholdDetector, convolve
from huidurep_sorter.spikes.spike_trains import are_coincident
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.traces.periods import are_within
from huidurep_sorter.traces.probe import channels_within

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DetectionRules:
    """How peaks are found, beside what the user's parameters say."""

    ms_before_prototype: float = 1.0  # ms of the matched filter before its peak (spikes-19)
    ms_after_prototype: float = 2.5  # ms after it (spikes-19)
    max_peaks_of_prototype: int = 10_000  # clear peaks that its median is taken over; SpikeInterface's default
    min_peaks_of_prototype: int = 50  # a limit: a median of fewer clear peaks is too noisy to filter with
    n_chunks_of_noise: int = 5  # stretches in which the noise of the filtered traces is measured; a limit of time
    step_of_noise: int = 4  # samples; every so many is enough for its median; a limit of memory (spikes-27)
    sweep_ms_matched_filtering: float = 1.5  # ms without another peak around one; a filter rings for longer (spikes-18)
    sweep_ms_locally_exclusive: float = 0.8  # ms without another peak around one; about a spike's width (spikes-18)


RULES = DetectionRules()


def detect_by_matched_filter(traces, parameters):
    """Detect peaks of the traces convolved with a prototype spike, which finds smaller spikes (spikes-10).

    Where there are too few clear peaks to make a prototype of, peaks are detected by threshold.
    """
    prototype = estimate_prototype(traces, parameters)
    if prototype is None:
        logger.info("too few clear peaks to make a prototype spike of: detecting by threshold instead")
        return detect_by_threshold(traces, parameters)
    matched_filter = make_matched_filter(
        traces.recording,
        prototype=prototype,
        ms_before=RULES.ms_before_prototype,
        exclude_sweep_ms=RULES.sweep_ms_matched_filtering,
        random_chunk_kwargs=dict(num_chunks_per_segment=RULES.n_chunks_of_noise, seed=parameters.seed),
        **common_options(parameters),
    )
    filtered, over_threshold = detect(traces, [matched_filter, threshold_detector(traces, parameters)])
    return add_missed(traces, filtered, over_threshold, parameters.detection_radius_um)


class FastSetup(MatchedFilteringPeakDetector):
    """Sets a matched filter up as SpikeInterface does, by our convolution."""

    def get_convolved_traces(self, traces):
        """Convolve with the prototype and sum over channels, as noise is measured: at every so many samples."""
        return convolve(traces, self.prototype, self.weights, RULES.step_of_noise)


def make_matched_filter(recording, **options):
    """Make a matched filter with the parameters of SpikeInterface's."""
    return MatchedFilter(recording, FastSetup(recording, **options))


def add_missed(traces, peaks, others, radius_um):
    """Add peaks of a second detector that the first has none near, in space and time (spikes-25).

    A matched filter is blind to spikes that are unlike its prototype: half as long, or on one channel only.

    Parameters
    ----------
    traces : Traces
    peaks, others : structured array (n_peaks,)
        SpikeInterface's peak vectors.
    radius_um : float

    Returns
    -------
    peaks : structured array (n_peaks,)
        In any order.
    """
    reach = RULES.sweep_ms_matched_filtering * traces.sampling_frequency / 1000
    missed = np.ones(len(others), dtype=bool)
    near = channels_within(traces.recording, radius_um)
    for channel in np.unique(others["channel_index"]):
        found = np.sort(peaks["sample_index"][near[channel, peaks["channel_index"]]])
        on_channel = np.flatnonzero(others["channel_index"] == channel)
        missed[on_channel] = ~are_coincident(others["sample_index"][on_channel], found, reach)
    return np.concatenate([peaks, others[missed]])


def detect_by_threshold(traces, parameters):
    """Detect peaks over a multiple of each channel's noise."""
    (peaks,) = detect(traces, [threshold_detector(traces, parameters)])
    return peaks


def threshold_detector(traces, parameters):
    """Make a detector of peaks that are largest around them."""
    setup = LocallyExclusivePeakDetector(
        traces.recording,
        exclude_sweep_ms=RULES.sweep_ms_locally_exclusive,
        noise_levels=traces.noise_levels,
        **common_options(parameters),
    )
    return ThresholdDetector(traces.recording, setup)


def common_options(parameters):
    """Give what all detectors take."""
    return dict(
        peak_sign=parameters.peak_sign,
        detect_threshold=parameters.detect_threshold,
        radius_um=parameters.detection_radius_um,
    )


def detect(traces, detectors):
    """Detect peaks by several detectors in one pass over the traces, a list of peak vectors (n_peaks,)."""
    node = DetectorsTogether(traces.recording, detectors)
    found = run_node_pipeline(traces.recording, [node], traces.job_kwargs, job_name="detect peaks")
    peaks = found[[name for name, _ in base_peak_dtype]].astype(base_peak_dtype)
    return [peaks[found["detector"] == index] for index in range(len(detectors))]


DETECTORS = {"matched_filtering": detect_by_matched_filter, "locally_exclusive": detect_by_threshold}


@stage("detect")
def detect_peaks(traces, parameters):
    """Detect peaks.

    Parameters
    ----------
    traces : Traces
    parameters : SortingParameters
        `detection_method`, `peak_sign`, `detect_threshold`, `detection_radius_um` and `seed` are used.

    Returns
    -------
    peaks : structured array (n_peaks,)
        SpikeInterface's peak vector, ordered by sample; without those of periods that are set aside.
    """
    keep_compiled(locally_exclusive)
    peaks = DETECTORS[parameters.detection_method](traces, parameters)
    peaks = peaks[~are_within(peaks["sample_index"], traces.set_aside.all())]
    return peaks[np.argsort(peaks["sample_index"], kind="stable")]


def estimate_prototype(traces, parameters):
    """Estimate the median spike, (n_samples,), for the matched filter; None where there are too few clear peaks.

    One process reads the recording in a seeded order until there are enough peaks, so that the result does not
    depend on the number of jobs.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)  # a median of no peak
        prototype, _, few_peaks = get_prototype_and_waveforms_from_recording(
            traces.recording,
            n_peaks=RULES.max_peaks_of_prototype,
            ms_before=RULES.ms_before_prototype,
            ms_after=RULES.ms_after_prototype,
            seed=parameters.seed,
            noise_levels=traces.noise_levels,
            peak_sign="pos" if parameters.peak_sign == "pos" else "neg",
            detect_threshold=parameters.detect_threshold,
            job_kwargs=dict(n_jobs=1, progress_bar=False),
        )
    if len(few_peaks) < RULES.min_peaks_of_prototype or not np.isfinite(prototype).all():
        return None
    return prototype


def select_peaks(traces, peaks, parameters, margin) -> Spikes:
    """Choose the peaks to cluster: at most `n_peaks_per_channel` of each channel, drawn at random.

    More do not help (spikes-13); SpikeInterface draws them (spikes-17). Of a long recording they are in the seconds
    that are learned from.

    Parameters
    ----------
    traces : Traces
    peaks : structured array (n_peaks,)
    parameters : SortingParameters
        `n_peaks_per_channel` and `seed` are used.
    margin : (int, int)
        Samples that a peak must keep from the start and the end.

    Returns
    -------
    spikes : Spikes
        In order of time, without a label.

    Raises
    ------
    NothingFound
        If no peak is left.
    """
    inside = peaks["sample_index"] >= margin[0]
    inside &= peaks["sample_index"] < traces.n_samples - margin[1]
    if not inside.any():
        raise NothingFound("no peak was found")
    learned = inside & traces.are_learned_from(peaks["sample_index"])
    inside = learned if learned.any() else inside
    chosen = peak_selection.select_peaks(
        peaks[inside],
        method="uniform",
        select_per_channel=True,
        n_peaks=parameters.n_peaks_per_channel,
        seed=parameters.seed,
    )
    logger.info("%d peaks, %d of them to cluster", len(peaks), len(chosen))
    return Spikes.at(chosen["sample_index"], chosen["channel_index"])
