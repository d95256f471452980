"""What travels together through all stages."""

from dataclasses import dataclass, field, replace

import numpy as np

from huidurep_sorter.traces.noise import estimate_noise, invert_spectrum
from huidurep_sorter.traces.periods import SetAside, as_runs, count_samples_of


@dataclass(frozen=True, kw_only=True)
class LearningLimits:
    """How much of a long recording is read to learn from; matching sees all of it."""

    channel_seconds: float = 80_000.0  # s times channels, a limit: 208 s of 384, 9.6 GB on disk (sorters-36)
    stretch_s: float = 1.0  # s of the stretches that are learned from: those that SpikeInterface reads at once


LIMITS = LearningLimits()


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Clean traces, and what every stage needs beside them.

    Attributes
    ----------
    recording : BaseRecording
        Preprocessed, of one segment, float32 in units of noise, with a probe.
    noise_levels : (n_channels,) float
        About 1; what whitening left of the differences between channels.
    set_aside : SetAside
        Periods from which nothing is learned.
    inverse_noise : (n,) float
        Kernel over time that weighs frequencies by the inverse of their noise; by default it weighs nothing.
    job_kwargs : dict
        SpikeInterface's; no spike depends on them.
    """

    recording: object
    noise_levels: np.ndarray
    inverse_noise: np.ndarray = field(default_factory=lambda: np.ones(1))
    set_aside: SetAside = field(default_factory=SetAside.nothing)
    job_kwargs: dict = field(default_factory=dict)

    @classmethod
    def of(cls, recording, set_aside, seed=0, job_kwargs=None) -> "Traces":
        """Build them from a preprocessed recording, whose noise is estimated."""
        job_kwargs = dict(job_kwargs or {})
        noise_levels = estimate_noise(recording, seed, job_kwargs)
        return cls(recording=recording, noise_levels=noise_levels, set_aside=set_aside, job_kwargs=job_kwargs)

    def with_inverse_noise(self) -> "Traces":
        """Measure by how little noise matching is to weigh frequencies, in seconds that are learned from."""
        return replace(self, inverse_noise=invert_spectrum(self.recording, learned_runs(self.recording)))

    @property
    def sampling_frequency(self):
        """Give the samples a second."""
        return self.recording.sampling_frequency

    @property
    def n_samples(self):
        """Count the samples of the recording."""
        return self.recording.get_total_samples()

    @property
    def n_samples_with_signal(self):
        """Count the samples that were not filled with noise: those in which a neuron could be seen to fire."""
        return self.n_samples - count_samples_of(self.set_aside.filled)

    def on_clock_of_signal(self, sample_index):
        """Give samples on a clock that stands still while the recording is filled with noise, (n,) int64."""
        filled = as_runs(self.set_aside.filled)
        before = np.r_[0, np.cumsum(filled[:, 1] - filled[:, 0])]
        return sample_index - before[np.searchsorted(filled[:, 1], sample_index, side="right")]

    def are_learned_from(self, sample_index):
        """Say which samples are learned from, (n,) bool: all, or where a recording is long some seconds of it.

        What is learned of a recording needs no more than some minutes of it, spread over all of it.
        """
        return are_learned_from(self.recording, sample_index)

    @property
    def duration_s(self):
        """Count the seconds with a signal; a pause in the recording's times does not count."""
        return self.n_samples_with_signal / self.sampling_frequency

    @property
    def locations_um(self):
        """Give the positions of the contacts, (n_channels, 2)."""
        return self.recording.get_channel_locations()[:, :2]

    @property
    def shanks(self):
        """Give the group of each channel, (n_channels,)."""
        return np.asarray(self.recording.get_channel_groups())


def are_learned_from(recording, sample_index):
    """Say which samples of a recording are learned from, (n,) bool; see `Traces.are_learned_from`."""
    n_seconds = recording.get_total_samples() / recording.sampling_frequency
    share = min(LIMITS.channel_seconds / max(n_seconds * recording.get_num_channels(), 1e-9), 1.0)
    second = sample_index // stretch_samples(recording)
    return np.floor((second + 1) * share) > np.floor(second * share)


def learned_runs(recording):
    """List the stretches of a recording that are learned from, (n_runs, 2) int64: first sample, last sample + 1."""
    n_samples, length = recording.get_total_samples(), stretch_samples(recording)
    starts = np.arange(0, n_samples, length)
    starts = starts[are_learned_from(recording, starts)]
    return np.column_stack([starts, np.minimum(starts + length, n_samples)])


def stretch_samples(recording):
    """Count the samples of a stretch that is learned from."""
    return int(LIMITS.stretch_s * recording.sampling_frequency)
