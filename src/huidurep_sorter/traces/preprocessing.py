"""From raw traces to traces in units of noise: band-pass, common reference, local whitening."""

import logging
import shutil
from contextlib import contextmanager
from dataclasses import dataclass

from spikeinterface.core import concatenate_recordings
from spikeinterface.preprocessing import bandpass_filter, common_reference, scale, silence_periods, whiten
from spikeinterface.sortingcomponents.tools import cache_preprocessing, clean_cache_preprocessing
from threadpoolctl import threadpool_limits

from huidurep_sorter.runtime import stage
from huidurep_sorter.traces.artefacts import end_to_end, find_silent_periods, without_periods
from huidurep_sorter.traces.noise import estimate_noise
from huidurep_sorter.traces.traces import Traces

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PreprocessingRules:
    """How traces are cleaned, beside what the user's parameters say."""

    filter_type: str = "bessel"  # keeps the shape of spikes; the encoders were trained on it (traces-2, traces-7)
    filter_order: int = 2  # of the filter; as the encoders were trained (traces-2, traces-7)
    max_freq_max: float = 0.45  # of the sampling frequency; a limit: a filter's edge must lie under a half
    min_channels_for_common_reference: int = 32  # channels; of few, the reference takes the spikes away (traces-17)


RULES = PreprocessingRules()


def prepare(recording, parameters):
    """Give traces in units of noise, lazily, in one segment; without a filter if the user applied his own.

    Segments are filtered one by one and then put end to end, so that noise is learned on all of them. Stretches
    without any signal are filled with noise, so that no noise level, no filter and no unit notices them.
    """
    silent = find_silent_periods(recording)
    if len(silent):
        recording = silence_periods(recording, periods=silent, mode="zeros")  # a filter would spread missing values
    if parameters.apply_preprocessing:
        filtered = band_pass_and_reference(recording, parameters.freq_min, parameters.freq_max)
    else:
        filtered = recording.astype("float32")
    if recording.get_num_segments() > 1:
        filtered, silent = concatenate_recordings([filtered]), end_to_end(recording, silent)
    if parameters.apply_whitening:
        prepared = whiten_locally(filtered, parameters.whitening_radius_um, parameters.seed, silent)
    else:
        prepared = scale_to_noise(filtered, parameters.seed, silent)
    if len(silent) == 0:
        return prepared
    noise_levels = estimate_noise(without_periods(prepared, silent), parameters.seed)
    return silence_periods(prepared, periods=silent, mode="noise", noise_levels=noise_levels, seed=parameters.seed)


def preprocess(recording, *, freq_min=150.0, freq_max=7000.0, whitening_radius_um=100.0, seed=0):
    """Band-pass filter, reference and whiten a recording, lazily, with SpikeInterface's own steps.

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
    return whiten_locally(band_pass_and_reference(recording, freq_min, freq_max), whitening_radius_um, seed)


def band_pass_and_reference(recording, freq_min, freq_max):
    """Band-pass filter each channel and, of many, take off what they have in common, lazily."""
    highest = RULES.max_freq_max * recording.sampling_frequency
    if freq_max > highest:
        logger.info("freq_max lowered from %g to %g Hz: the recording has no more", freq_max, highest)
    recording = bandpass_filter(
        recording,
        freq_min=freq_min,
        freq_max=min(freq_max, highest),
        ftype=RULES.filter_type,
        filter_order=RULES.filter_order,
        dtype="float32",
    )
    if recording.get_num_channels() >= RULES.min_channels_for_common_reference:
        recording = common_reference(recording)
    return recording


def whiten_locally(recording, radius_um, seed, silent_periods=()):
    """Whiten each channel with those around it, lazily; the covariance is that of the periods with a signal."""
    kwargs = dict(mode="local", radius_um=radius_um, dtype="float32", seed=seed)
    with threadpool_limits(limits=1):  # the last digits of a covariance depend on the number of threads, then all does
        if len(silent_periods) == 0:
            return whiten(recording, **kwargs)
        learned = whiten(without_periods(recording, silent_periods), **kwargs)
        return whiten(recording, W=learned._kwargs["W"], M=learned._kwargs["M"], dtype="float32")


def scale_to_noise(recording, seed, silent_periods=()):
    """Divide each channel by its noise, lazily."""
    calm = recording if len(silent_periods) == 0 else without_periods(recording, silent_periods)
    return scale(recording, gain=1 / estimate_noise(calm, seed), dtype="float32")


@contextmanager
def open_traces(recording, parameters, folder=None, job_kwargs=None):
    """Compute preprocessed traces once, keep them in memory or in the folder while in use, and estimate their noise.

    Parameters
    ----------
    recording : BaseRecording
        Lazily preprocessed, of one segment.
    parameters : SortingParameters
        `cache_preprocessing_mode` and `seed` are used.
    folder : Path or None
        Where there may be room for them.
    job_kwargs : dict, optional

    Yields
    ------
    traces : Traces
    """
    mode = parameters.cache_preprocessing_mode
    folder = cache_folder(recording, mode, None if folder is None else folder / "cache_preprocessing")
    with stage("preprocess"):
        kept, cache_info = cache_preprocessing(recording, mode=mode, folder=folder, job_kwargs=job_kwargs or {})
    try:
        yield Traces.of(kept, parameters.seed, job_kwargs)
    finally:
        del kept
        clean_cache_preprocessing(cache_info)


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
