"""From raw traces to traces in units of noise: band-pass, common reference, local whitening."""

import logging

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
