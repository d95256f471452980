"""Peaks: found by SpikeInterface's detectors, then thinned to what is worth representing."""

import logging

import numpy as np

from huidurep_sorter.runtime import keep_compiled

logger = logging.getLogger("huidurep_sorter")

MIN_PEAKS_FOR_PROTOTYPE = 50
MS_AROUND_PROTOTYPE = (1.0, 2.5)
EXCLUDE_SWEEP_MS = {"matched_filtering": 1.5, "locally_exclusive": 0.8}


def estimate_noise(recording, seed, job_kwargs=None):
    """Noise of each channel, (n_channels,), the same each time: without a seed SpikeInterface draws other slices."""
    from spikeinterface.core import get_noise_levels

    slices = dict(seed=seed)
    return get_noise_levels(recording, return_in_uV=False, random_slices_kwargs=slices, **(job_kwargs or {}))


def find_peaks(recording, noise_levels, parameters, job_kwargs=None):
    """Detect peaks.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces.
    noise_levels : (n_channels,) float
    parameters : SortingParameters
        `detection_method`, `peak_sign`, `detect_threshold`, `detection_radius_um` and `seed` are used.
    job_kwargs : dict, optional

    Returns
    -------
    peaks : structured array (n_peaks,)
        SpikeInterface's peak vector, ordered by segment and sample.
    """
    from spikeinterface.sortingcomponents import peak_detection

    keep_compiled(peak_detection.locally_exclusive, peak_detection.matched_filtering)
    method = parameters.detection_method
    kwargs = dict(
        peak_sign=parameters.peak_sign,
        detect_threshold=parameters.detect_threshold,
        exclude_sweep_ms=EXCLUDE_SWEEP_MS[method],
        radius_um=parameters.detection_radius_um,
    )
    if method == "matched_filtering":
        prototype = estimate_prototype(recording, noise_levels, parameters)
        if prototype is None:
            logger.info("too few clear peaks to make a prototype spike of: detecting by threshold instead")
            method = "locally_exclusive"
            kwargs["exclude_sweep_ms"] = EXCLUDE_SWEEP_MS[method]
        else:
            kwargs |= dict(prototype=prototype, ms_before=MS_AROUND_PROTOTYPE[0])
            kwargs |= dict(random_chunk_kwargs=dict(num_chunks_per_segment=5, seed=parameters.seed))
    if method == "locally_exclusive":
        kwargs["noise_levels"] = noise_levels
    peaks = peak_detection.detect_peaks(recording, method=method, method_kwargs=kwargs, job_kwargs=job_kwargs or {})
    return peaks[np.lexsort((peaks["sample_index"], peaks["segment_index"]))]


def estimate_prototype(recording, noise_levels, parameters):
    """The median spike, (n_samples,), for the matched filter; None where there are too few clear peaks.

    One process reads the recording in a seeded order until there are enough peaks, so that the result doesn't
    depend on the number of jobs.
    """
    from spikeinterface.sortingcomponents.tools import get_prototype_and_waveforms_from_recording

    ms_before, ms_after = MS_AROUND_PROTOTYPE
    prototype_sign = "pos" if parameters.peak_sign == "pos" else "neg"
    prototype, _, few_peaks = get_prototype_and_waveforms_from_recording(
        recording,
        n_peaks=10_000,
        ms_before=ms_before,
        ms_after=ms_after,
        seed=parameters.seed,
        noise_levels=noise_levels,
        peak_sign=prototype_sign,
        detect_threshold=parameters.detect_threshold,
        job_kwargs=dict(n_jobs=1, progress_bar=False),
    )
    if len(few_peaks) < MIN_PEAKS_FOR_PROTOTYPE or not np.isfinite(prototype).all():
        return None
    return prototype


def choose_peaks(recording, peaks, parameters, margin):
    """Indices of the peaks to represent: at most `n_peaks_per_channel` of each channel, drawn at random.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    peaks : structured array (n_peaks,)
    parameters : SortingParameters
        `n_peaks_per_channel` and `seed` are used.
    margin : (int, int)
        Samples that a peak must keep from the start and the end.

    Returns
    -------
    indices : (n_chosen,) int64
        Ascending.
    """
    rng = np.random.default_rng(parameters.seed)
    inside = peaks["sample_index"] >= margin[0]
    inside &= peaks["sample_index"] < recording.get_total_samples() - margin[1]
    chosen = []
    for channel in range(recording.get_num_channels()):
        indices = np.flatnonzero(inside & (peaks["channel_index"] == channel))
        if indices.size > parameters.n_peaks_per_channel:
            indices = rng.choice(indices, parameters.n_peaks_per_channel, replace=False)
        chosen.append(indices)
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype="int64")
