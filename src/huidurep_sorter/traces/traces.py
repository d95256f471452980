"""What travels together through all stages."""

from dataclasses import dataclass, field

import numpy as np

from huidurep_sorter.traces.noise import estimate_noise


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Clean traces, and what every stage needs beside them.

    Attributes
    ----------
    recording : BaseRecording
        Preprocessed, of one segment, float32 in units of noise, with a probe.
    noise_levels : (n_channels,) float
        About 1; what whitening left of the differences between channels.
    job_kwargs : dict
        SpikeInterface's; no spike depends on them.
    """

    recording: object
    noise_levels: np.ndarray
    job_kwargs: dict = field(default_factory=dict)

    @classmethod
    def of(cls, recording, seed=0, job_kwargs=None) -> "Traces":
        """Build them from a preprocessed recording, whose noise is estimated."""
        job_kwargs = dict(job_kwargs or {})
        noise_levels = estimate_noise(recording, seed, job_kwargs)
        return cls(recording=recording, noise_levels=noise_levels, job_kwargs=job_kwargs)

    @property
    def sampling_frequency(self):
        """Give the samples a second."""
        return self.recording.sampling_frequency

    @property
    def n_samples(self):
        """Count the samples of the recording."""
        return self.recording.get_total_samples()

    @property
    def duration_s(self):
        """Count the seconds that were recorded; a pause in the recording's times does not count."""
        return self.n_samples / self.sampling_frequency

    @property
    def locations_um(self):
        """Give the positions of the contacts, (n_channels, 2)."""
        return self.recording.get_channel_locations()[:, :2]

    @property
    def shanks(self):
        """Give the group of each channel, (n_channels,)."""
        return np.asarray(self.recording.get_channel_groups())
