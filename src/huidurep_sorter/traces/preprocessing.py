"""From raw traces to traces in units of noise: band-pass, common reference, local whitening."""

import logging
import re
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from spikeinterface.core import concatenate_recordings
from spikeinterface.core.recording_tools import get_channel_distances
from spikeinterface.preprocessing import phase_shift, scale, silence_periods
from spikeinterface.preprocessing.whiten import compute_whitening_from_covariance
from threadpoolctl import threadpool_limits

from huidurep_sorter.runtime import stage
from huidurep_sorter.traces.artefacts import ReducedArtefactsRecording, find_artefacts
from huidurep_sorter.traces.cache import keep_traces
from huidurep_sorter.traces.channels import find_popping, leave_out_outside, silence_pops
from huidurep_sorter.traces.clipping import interpolate_clipped
from huidurep_sorter.traces.filtering import BandPassRecording, MedianReferencedRecording
from huidurep_sorter.traces.hum import take_off_hum
from huidurep_sorter.traces.noise import estimate_noise
from huidurep_sorter.traces.periods import (
    SetAside,
    count_samples_of,
    end_to_end,
    merge_periods,
    read_stretches,
    spread_stretches,
    without_periods,
)
from huidurep_sorter.traces.silence import BridgedPeriodsRecording, find_silent_periods
from huidurep_sorter.traces.stretches import keep_stretches
from huidurep_sorter.traces.traces import Traces, learned_runs
from huidurep_sorter.traces.whitening import LocallyWhitenedRecording

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PreprocessingRules:
    """How traces are cleaned, beside what the user's parameters say."""

    filter_type: str = "bessel"  # keeps the shape of spikes; the encoders were trained on it (traces-2, traces-7)
    filter_order: int = 2  # of the filter; as the encoders were trained (traces-2, traces-7)
    max_freq_max: float = 0.45  # of the sampling frequency; a limit: a filter's edge must lie under a half
    n_stretches: int = 20  # of the recording, from which whitening is learned (traces-22)
    trimmed_share: float = 0.25  # of them, the loudest, from which whitening is not learned (traces-22)
    stretch_s: float = 0.5  # s of such a stretch; SpikeInterface's default for noise
    min_variance: float = 1e-3  # noise units squared; a limit: channels that depend on others aren't blown up
    min_channels_for_common_reference: int = 32  # channels; of few, the reference takes the spikes away (traces-17)


RULES = PreprocessingRules()


def prepare(recording, parameters, job_kwargs=None):
    """Give traces in units of noise, lazily, in one segment; without a filter if the user applied his own.

    Segments are filtered one by one and then put end to end, so that noise is learned on all of them. What is silent,
    or an artefact, is set aside: no noise level and no whitening learns from it.

    Parameters
    ----------
    recording : BaseRecording
        As from `prepare_recording`.
    parameters : SortingParameters
    job_kwargs : dict, optional
        For the two passes over all of the recording: silence and artefacts.

    Returns
    -------
    recording : BaseRecording
        float32, about unit noise on every channel.
    set_aside : SetAside
    """
    silent = find_silent_periods(recording, job_kwargs)
    if len(silent):
        recording = BridgedPeriodsRecording(recording, silent)  # a filter would spread steps and missing values
    if parameters.apply_preprocessing:
        recording = interpolate_clipped(recording)
        recording = leave_out_outside(align_sampling(recording), parameters.seed)
        filtered = band_pass(recording, parameters.freq_min, parameters.freq_max)
    else:
        filtered = recording.astype("float32")
    if recording.get_num_segments() > 1:
        filtered, silent = concatenate_recordings([filtered]), end_to_end(recording, silent)
    if parameters.apply_preprocessing:
        filtered = take_off_hum(filtered, silent)
    if parameters.remove_artifacts:
        filtered, set_aside = reduce_artefacts(filtered, silent, parameters.seed, job_kwargs)
    else:
        set_aside = SetAside(reduced=silent[:0], filled=silent)
    if parameters.apply_preprocessing:
        calm = without_periods(filtered, set_aside.all())
        noise_levels = estimate_noise(calm, parameters.seed)
        popping = find_popping(calm, noise_levels, spread(calm))
        filtered = reference(silence_pops(filtered, noise_levels, popping))
    return fill(in_units_of_noise(filtered, parameters, set_aside), set_aside, parameters.seed), set_aside


def align_sampling(recording):
    """Shift channels that were sampled one after the other to the same moments, lazily, as Neuropixels need.

    A common reference removes less of what is common between channels that are out of phase. It is not done where the
    user did it, or filtered the traces, which comes after it.
    """
    shifts = recording.get_property("inter_sample_shift")
    if shifts is None or np.ptp(np.asarray(shifts, dtype="float64")) == 0:
        return recording
    if recording.is_filtered() or was_phase_shifted(recording):
        logger.info("inter_sample_shift is not used, channels are not aligned: the recording was filtered or shifted")
        return recording
    logger.info("channels are aligned by their inter_sample_shift")
    return phase_shift(recording, dtype="float32")


def was_phase_shifted(recording):
    """Say whether a phase shift is among the steps that made the recording, also those before it was saved."""
    steps = str(recording.to_dict(include_annotations=False, include_properties=False, recursive=True))
    for folder in set(re.findall(r"'folder_path': '([^']+)'", steps)):
        provenance = Path(folder) / "provenance.json"
        steps += provenance.read_text("utf8") if provenance.is_file() else ""
    return "PhaseShiftRecording" in steps


def reduce_artefacts(recording, silent, seed, job_kwargs=None):
    """Take artefacts off a filtered recording, lazily, and say what is set aside with them.

    Returns
    -------
    recording : BaseRecording
    set_aside : SetAside
    """
    n_samples, fs = recording.get_total_samples(), recording.sampling_frequency
    noise_levels = estimate_noise(without_periods(recording, silent), seed)
    artefacts = find_artefacts(recording, noise_levels, silent, job_kwargs)
    set_aside = SetAside(reduced=artefacts.reduced, filled=merge_periods(silent, artefacts.filled))
    if len(artefacts.all()):
        found, filled = count_samples_of(artefacts.all()), count_samples_of(artefacts.filled)
        logger.info(
            "%d artefacts are set aside: %.1f s, %.2f %% of all; of them %.1f s can't be reduced and are left out",
            len(artefacts.all()),
            found / fs,
            100 * found / n_samples,
            filled / fs,
        )
    if len(artefacts.reduced):
        recording = ReducedArtefactsRecording(recording, artefacts.reduced, artefacts.gains)
    return recording, set_aside


def spread(recording):
    """Spread over a recording of one segment the stretches on which medians are taken, as periods."""
    length = int(RULES.stretch_s * recording.sampling_frequency)
    return spread_stretches(recording.get_total_samples(), length, RULES.n_stretches)


def in_units_of_noise(recording, parameters, set_aside):
    """Whiten a filtered recording, or scale it to its noise, lazily; nothing is learned from what is set aside."""
    if parameters.apply_whitening:
        return whiten_locally(recording, parameters.whitening_radius_um, parameters.seed, set_aside.all())
    return scale_to_noise(recording, parameters.seed, set_aside.all())


def fill(recording, set_aside, seed):
    """Fill with noise what is to be filled, lazily."""
    if len(set_aside.filled) == 0:
        return recording
    noise_levels = estimate_noise(without_periods(recording, set_aside.all()), seed)
    periods = set_aside.filled.copy()  # SpikeInterface's noise may be one sample short at the end
    periods["end_sample_index"] = np.minimum(periods["end_sample_index"], recording.get_total_samples() - 1)
    return silence_periods(recording, periods=periods, mode="noise", noise_levels=noise_levels, seed=seed)


def preprocess(recording, *, freq_min=150.0, freq_max=7000.0, whitening_radius_um=100.0, seed=0):
    """Band-pass filter, reference and whiten a recording, lazily: the steps of SpikeInterface.

    Parameters
    ----------
    recording : BaseRecording
        Raw traces, in any unit and type; integers with an offset and volts are fine.
    freq_min, freq_max : float, default: 150.0, 7000.0
        Pass band in Hz, of a Bessel filter, which keeps the shape of spikes; the shipped encoders were trained on
        this band. `freq_max` is lowered to 45 % of the sampling frequency where that is less.
    whitening_radius_um : float, default: 100.0
        Each channel is whitened with the channels within this distance of it.
    seed : int, default: 0
        Chooses the stretches of the recording from which the covariance is estimated.

    Returns
    -------
    recording : BaseRecording
        float32, about unit noise on every channel.
    """
    return whiten_locally(reference(band_pass(recording, freq_min, freq_max)), whitening_radius_um, seed)


def band_pass(recording, freq_min, freq_max):
    """Band-pass filter each channel, lazily."""
    highest = RULES.max_freq_max * recording.sampling_frequency
    if freq_max > highest:
        logger.info("freq_max lowered from %g to %g Hz: the recording has no more", freq_max, highest)
    return BandPassRecording(
        recording,
        freq_min=freq_min,
        freq_max=min(freq_max, highest),
        ftype=RULES.filter_type,
        filter_order=RULES.filter_order,
        dtype="float32",
    )


def reference(recording):
    """Take off what many channels have in common, lazily; few are left alone."""
    if recording.get_num_channels() >= RULES.min_channels_for_common_reference:
        return MedianReferencedRecording(recording)
    return recording


def whiten_locally(recording, radius_um, seed, without=()):
    """Whiten each channel with those around it, lazily; the covariance is learned without some periods."""
    calm = without_periods(recording, without)
    if calm.get_num_segments() > 1:
        calm = concatenate_recordings([calm])
    gain = 1 / np.median(estimate_noise(calm, seed))  # so that no unit of the traces is too small for a covariance
    matrix = whitening_matrix(scale(calm, gain=gain, dtype="float32"), radius_um)
    return LocallyWhitenedRecording(recording, gain * matrix)


def whitening_matrix(recording, radius_um):
    """Estimate a local whitening matrix, (n_channels, n_channels) float32, from traces in about units of noise.

    The covariance is the mean of those of stretches that are spread over the recording, without the quarter in which a
    channel is loudest: one step of a baseline would outweigh all of the noise (traces-22).
    """
    stretches = read_stretches(recording, RULES.stretch_s, RULES.n_stretches)
    with threadpool_limits(limits=1):  # the last digits of a covariance depend on the number of threads, then all does
        covariances = np.stack([traces.T @ traces / len(traces) for traces in stretches])
        variances = np.einsum("scc->sc", covariances)
        loudest = (variances / np.maximum(np.median(variances, axis=0), 1e-12)).max(axis=1)
        calm = np.argsort(loudest, kind="stable")[: int(np.ceil((1 - RULES.trimmed_share) * len(loudest)))]
        covariance = covariances[calm].mean(axis=0)
        matrix = np.zeros(covariance.shape, dtype="float32")
        for channel, away_um in enumerate(get_channel_distances(recording)):
            near = np.flatnonzero(away_um <= radius_um)
            local = compute_whitening_from_covariance(covariance[np.ix_(near, near)], RULES.min_variance)
            matrix[near, channel] = local[near == channel][0]
    return matrix


def scale_to_noise(recording, seed, without=()):
    """Divide each channel by its noise, lazily, which is learned without some periods."""
    return scale(recording, gain=1 / estimate_noise(without_periods(recording, without), seed), dtype="float32")


@contextmanager
def open_traces(recording, set_aside, parameters, folder=None, job_kwargs=None):
    """Compute preprocessed traces once, keep them in memory or in the folder while in use, and estimate their noise.

    Parameters
    ----------
    recording : BaseRecording
        Lazily preprocessed, of one segment.
    set_aside : SetAside
    parameters : SortingParameters
        `cache_preprocessing_mode`, `max_cache_gb` and `seed` are used.
    folder : Path or None
        Where there may be room for them.
    job_kwargs : dict, optional

    Yields
    ------
    traces : Traces
    """
    mode = parameters.cache_preprocessing_mode
    needed_gb = recording.get_total_memory_size() / 1e9
    if is_too_long_to_keep(recording, parameters):
        logger.info("preprocessed traces need %.1f GB, over max_cache_gb: each stage computes what it reads", needed_gb)
        mode = "no-cache"
    folder = cache_folder(recording, mode, None if folder is None else folder / "cache_preprocessing")
    with ExitStack() as stack:
        with stage("preprocess"):
            kept = stack.enter_context(keep_traces(recording, mode, folder, job_kwargs or {}))
        yield Traces.of(kept, set_aside, parameters.seed, job_kwargs)


def is_too_long_to_keep(recording, parameters):
    """Say whether preprocessed traces need more than the user gives them."""
    needed_gb = recording.get_total_memory_size() / 1e9
    return parameters.cache_preprocessing_mode == "auto" and needed_gb > parameters.max_cache_gb


@contextmanager
def keep_learned(traces, parameters, folder):
    """Keep the seconds that are learned from in the folder while in use, where not all traces are kept.

    Yields
    ------
    traces : Traces
        With the same traces.
    """
    recording, most_bytes = traces.recording, 1e9 * parameters.max_cache_gb
    if folder is None or not is_too_long_to_keep(recording, parameters):
        yield traces
        return
    folder, runs = folder / "cache_preprocessing", learned_runs(recording)
    with ExitStack() as stack:
        with stage("keep"):
            kept = stack.enter_context(keep_stretches(recording, runs, most_bytes, folder, traces.job_kwargs))
        yield replace(traces, recording=kept)


def cache_folder(recording, mode, folder):
    """Choose where preprocessed traces may be kept on disk.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed.
    mode : str
        `cache_preprocessing_mode`
    folder : Path or None
        Where there may be room for them.

    Returns
    -------
    folder : Path or None
        None, with a warning in the log, where mode "auto" finds no room: they are kept in memory, or computed anew by
        each stage, then.

    Raises
    ------
    OSError
        With mode "folder", where there is no room.
    """
    if folder is None or mode not in ("auto", "folder"):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    needed, free = recording.get_total_memory_size(), shutil.disk_usage(folder.parent).free
    if needed < free:
        return folder
    problem = f"preprocessed traces need {needed / 1e9:.1f} GB, and {folder.parent} has {free / 1e9:.1f} GB free"
    if mode == "folder":
        raise OSError(f"{problem}: choose another folder, or cache_preprocessing_mode='no-cache', which is slower")
    logger.warning("%s: if memory doesn't hold them either, each stage computes them anew, which is slower", problem)
    return None
