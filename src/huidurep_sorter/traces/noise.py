"""The noise of each channel."""

from spikeinterface.core import get_noise_levels


def estimate_noise(recording, seed, job_kwargs=None):
    """Estimate the noise of each channel, (n_channels,), by its median absolute deviation.

    It is the same each time: without a seed SpikeInterface draws other slices.
    """
    slices = dict(seed=seed)
    job_kwargs = job_kwargs or dict(n_jobs=1, progress_bar=False)
    return get_noise_levels(recording, return_in_uV=False, random_slices_kwargs=slices, **job_kwargs)
