"""The noise of each channel, and of each frequency."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import welch
from scipy.signal.windows import bartlett
from spikeinterface.core import get_noise_levels

from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.periods import take_spread


@dataclass(frozen=True, kw_only=True)
class NoiseLimits:
    """What is no noise, and of what its spectrum is measured."""

    min_share: float = 1e-5  # of the loudest channel's, a limit: less than a converter's step beside its range
    n_stretches: int = 10  # in which the spectrum is measured; a limit of time
    window_ms: float = 4.25  # ms of which a spectrum is computed, so that most have no large spike (templates-42)
    reach_ms: float = 0.5  # ms before and after, over which a frequency's weight is spread (templates-42)


LIMITS = NoiseLimits()


def estimate_noise(recording, seed, job_kwargs=None):
    """Estimate the noise of each channel, (n_channels,), by its median absolute deviation.

    It is the same each time: without a seed SpikeInterface draws other slices.

    Raises
    ------
    NothingFound
        If there is none on any channel.
    """
    slices = dict(seed=seed)
    job_kwargs = job_kwargs or dict(n_jobs=1, progress_bar=False)
    return replace_silence(get_noise_levels(recording, return_in_uV=False, random_slices_kwargs=slices, **job_kwargs))


def replace_silence(noise_levels):
    """Give channels that are silent most of the time the median noise of the others, since traces are divided by it."""
    has_noise = noise_levels > LIMITS.min_share * noise_levels.max()
    if not has_noise.any():
        raise NothingFound("no channel has any noise: the traces are constant for more than half of the time")
    return np.where(has_noise, noise_levels, np.median(noise_levels[has_noise])).astype(noise_levels.dtype)


def invert_spectrum(recording, runs):
    """Find the kernel that weighs frequencies by the inverse of their noise, as the best filter of known spikes does.

    The spectrum is the median over windows and stretches, of which few have a spike, and the mean over channels. No
    frequency has more weight than white noise of the same variance would give it: filters left nothing there.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    runs : (n_runs, 2) int64
        Stretches in which it may be measured: first sample, last sample + 1.

    Returns
    -------
    kernel : (2 * reach + 1,) float64
        Over samples, symmetric; (1,) where there is no spectrum.
    """
    window, reach = (int(ms * recording.sampling_frequency / 1000) for ms in (LIMITS.window_ms, LIMITS.reach_ms))
    runs = runs[np.diff(runs)[:, 0] >= window]
    if len(runs) == 0:
        return np.ones(1)
    spectra = []
    for start, stop in take_spread(runs, LIMITS.n_stretches):
        traces = recording.get_traces(start_frame=int(start), end_frame=int(stop)).astype("float64")
        spectra.append(welch(traces, nperseg=window, average="median", axis=0)[1])
    spectrum = np.median(spectra, axis=0).mean(axis=1)
    if not spectrum.any():
        return np.ones(1)
    kernel = np.fft.irfft(1 / np.maximum(spectrum / spectrum.mean(), 1), window)
    return np.r_[kernel[-reach:], kernel[: reach + 1]] * bartlett(2 * reach + 3)[1:-1]
