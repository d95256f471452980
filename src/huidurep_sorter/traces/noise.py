"""The noise of each channel."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import get_noise_levels

from huidurep_sorter.runtime import NothingFound


@dataclass(frozen=True, kw_only=True)
class NoiseLimits:
    """What is no noise. Limits, not decisions."""

    min_share: float = 1e-5  # of the loudest channel's; less than a converter's step beside its range is rounding


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
