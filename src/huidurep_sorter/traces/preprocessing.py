"""From raw traces to traces in units of noise: band-pass, common reference, local whitening."""

import logging
import shutil

logger = logging.getLogger("huidurep_sorter")

MIN_CHANNELS_FOR_COMMON_REFERENCE = 32


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
    from spikeinterface.preprocessing import common_reference, whiten
    from threadpoolctl import threadpool_limits

    recording = _band_pass(recording, freq_min, freq_max)
    if recording.get_num_channels() >= MIN_CHANNELS_FOR_COMMON_REFERENCE:
        recording = common_reference(recording)
    with threadpool_limits(limits=1):  # the last digits of a covariance depend on the number of threads, then all does
        return whiten(recording, mode="local", radius_um=whitening_radius_um, dtype="float32", seed=seed)


def cache_folder(recording, mode, folder):
    """Where preprocessed traces may be kept on disk.

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


def _band_pass(recording, freq_min, freq_max):
    from spikeinterface.preprocessing import bandpass_filter

    highest = 0.45 * recording.sampling_frequency
    if freq_max > highest:
        logger.info("freq_max lowered from %g to %g Hz: the recording has no more", freq_max, highest)
    return bandpass_filter(
        recording,
        freq_min=freq_min,
        freq_max=min(freq_max, highest),
        ftype="bessel",
        filter_order=2,
        dtype="float32",
    )
