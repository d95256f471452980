"""Spikes to train on: snippets of a recording, with what is known of each."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from huidurep_sorter.traces.noise import estimate_noise
from huidurep_sorter.traces.preprocessing import preprocess
from huidurep_sorter.traces.snippets import Window, find_neighbourhoods, iterate_snippets
from huidurep_sorter.training.known_spikes import PEAK_DTYPE, at_most, main_channels, peaks_near

MARGIN = 4  # samples at both ends from which a view may be shifted


@dataclass(frozen=True, kw_only=True)
class SpikeSet:
    """Spikes of one recording.

    Attributes
    ----------
    snippets : (n, n_samples + 2 * MARGIN, n_channels) float16
        Preprocessed, in units of noise.
    clean : like snippets, or (0,) where the truth isn't known
        The spike alone.
    offsets_um : (n, n_channels, 2) float32
        Contact positions relative to the peak, NaN where there is no channel.
    unit : (n,) int64
        -1 where it isn't known.
    location_um : (n, 2) float32
        Where the spike's unit is, or its peak channel.
    noise : like snippets
        From stretches without a detected spike.
    """

    snippets: np.ndarray
    clean: np.ndarray
    offsets_um: np.ndarray
    unit: np.ndarray
    location_um: np.ndarray
    noise: np.ndarray

    def save(self, folder):
        """Write whole or not at all: a folder that exists is complete."""
        folder = Path(folder)
        partial = folder.with_name(folder.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            np.save(partial / f"{field.name}.npy", getattr(self, field.name))
        partial.rename(folder)

    @classmethod
    def load(cls, folder):
        """Read lazily: the arrays stay on disk until they are used."""
        return cls(**{f.name: np.load(Path(folder) / f"{f.name}.npy", mmap_mode="r") for f in fields(cls)})


def spikes_of_simulation(simulated, window: Window, n_channels, seed, max_spikes_per_unit=300) -> SpikeSet:
    """Spikes of a simulated recording at the sample and channel that a detector would give, with the clean spike."""
    from spikeinterface.core import NumpyRecording
    from spikeinterface.preprocessing import bandpass_filter, whiten

    rng = np.random.default_rng(seed)
    lazy = preprocess(simulated.recording, seed=seed)
    whitened = NumpyRecording([lazy.get_traces()], lazy.sampling_frequency)  # read three times below
    whitened.set_probegroup(lazy.get_probegroup(), group_mode="by_probe")
    spikes = at_most(simulated.spikes, max_spikes_per_unit, rng)
    main = np.abs(simulated.templates).max(axis=2).argmax(axis=2)[spikes["unit_index"], spikes["step"]]
    peaks = peaks_near(whitened, spikes["sample_index"], main, own_channel=rng.random(len(spikes)) < 0.5)

    n_units, n_steps, n_samples, _ = simulated.templates.shape
    gap = int(0.004 * whitened.sampling_frequency)
    bank = np.pad(simulated.templates, ((0, 0), (0, 0), (gap, gap), (0, 0))).reshape(-1, simulated.templates.shape[3])
    bank = NumpyRecording([bank], whitened.sampling_frequency)
    bank.set_probegroup(whitened.get_probegroup(), group_mode="by_probe")
    bank = whiten(bandpass_filter(bank, dtype="float32"), W=lazy._kwargs["W"], M=lazy._kwargs["M"], dtype="float32")
    in_bank = peaks.copy()
    in_bank["sample_index"] += (spikes["unit_index"] * n_steps + spikes["step"]) * (n_samples + 2 * gap)
    in_bank["sample_index"] += gap + simulated.n_before - spikes["sample_index"]

    where = whitened.get_channel_locations()[main]
    location = np.array(
        [
            where[spikes["unit_index"] == u].mean(axis=0) if (spikes["unit_index"] == u).any() else [0, 0]
            for u in range(n_units)
        ]
    )
    read = _Reader(window, n_channels, rng)
    clean = read(bank, in_bank) * spikes["amplitude"][:, None, None].astype("float16")
    return read.spike_set(whitened, peaks, spikes["unit_index"], location[spikes["unit_index"]], clean)


def spikes_of_recording(
    recording, window: Window, n_channels, seed, sorting=None, max_spikes=20_000, verbose=False
) -> SpikeSet:
    """Spikes of a recording: those of a sorting whose units are trusted, or without one all that are detected."""
    rng = np.random.default_rng(seed)
    whitened = preprocess(recording, seed=seed)
    if sorting is None:
        peaks = detect(whitened, seed, verbose)
        peaks = np.sort(rng.permutation(peaks)[:max_spikes], order=("segment_index", "sample_index"))
        location = recording.get_channel_locations()[peaks["channel_index"]]
        return _Reader(window, n_channels, rng).spike_set(whitened, peaks, np.full(len(peaks), -1), location)
    if recording.get_num_segments() != 1:
        raise ValueError("a recording with a sorting must have one segment to be trained on")
    spikes = sorting.to_spike_vector()
    spikes = np.sort(rng.permutation(spikes)[:max_spikes], order="sample_index")
    main = main_channels(whitened, spikes, len(sorting.unit_ids))[spikes["unit_index"]]
    peaks = peaks_near(whitened, spikes["sample_index"], main, own_channel=rng.random(len(spikes)) < 0.5)
    location = recording.get_channel_locations()[main]
    return _Reader(window, n_channels, rng).spike_set(whitened, peaks, spikes["unit_index"], location)


def detect(recording, seed, verbose=False):
    """All peaks of a preprocessed recording."""
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks

    job_kwargs = dict(progress_bar=verbose)
    kwargs = dict(peak_sign="neg", detect_threshold=5.0, exclude_sweep_ms=0.5, radius_um=50.0)
    kwargs["noise_levels"] = estimate_noise(recording, seed, job_kwargs)
    return detect_peaks(recording, method="locally_exclusive", method_kwargs=kwargs, job_kwargs=job_kwargs)


class _Reader:
    """Reads wide snippets of one probe."""

    def __init__(self, window, n_channels, rng, n_noise=1500):
        self.window = Window(
            n_samples=window.n_samples + 2 * MARGIN,
            n_before=window.n_before + MARGIN,
            sampling_frequency=window.sampling_frequency,
        )
        self.n_channels, self.rng, self.n_noise = n_channels, rng, n_noise

    def __call__(self, recording, peaks):
        out = np.zeros((len(peaks), self.window.n_samples, self.n_channels), dtype="float16")
        neighbourhoods = find_neighbourhoods(recording, self.n_channels)
        for indices, snippets in iterate_snippets(recording, peaks, self.window, neighbourhoods):
            out[indices] = snippets
        return out

    def spike_set(self, recording, peaks, unit, location_um, clean=None):
        neighbourhoods = find_neighbourhoods(recording, self.n_channels)
        noise = self(recording, self._random_peaks(recording))
        quiet = np.abs(noise).max(axis=(1, 2)) < 6.0
        return SpikeSet(
            snippets=self(recording, peaks),
            clean=np.zeros(0, dtype="float16") if clean is None else clean,
            offsets_um=neighbourhoods.offsets_um[peaks["channel_index"]],
            unit=np.asarray(unit, dtype="int64"),
            location_um=np.asarray(location_um, dtype="float32")[:, :2],
            noise=noise[quiet],
        )

    def _random_peaks(self, recording):
        out = np.zeros(self.n_noise, dtype=PEAK_DTYPE)
        out["sample_index"] = np.sort(self.rng.integers(recording.get_num_samples(0), size=self.n_noise))
        out["channel_index"] = self.rng.integers(recording.get_num_channels(), size=self.n_noise)
        return out
