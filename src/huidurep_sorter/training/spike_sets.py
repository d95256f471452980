"""Spikes to train on: snippets of a recording, with what is known of each."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from spikeinterface.core import NumpyRecording
from spikeinterface.preprocessing import bandpass_filter
from spikeinterface.sortingcomponents.peak_detection import detect_peaks

from huidurep_sorter.traces.noise import estimate_noise
from huidurep_sorter.traces.preprocessing import preprocess
from huidurep_sorter.traces.snippets import Window, find_neighbourhoods, iterate_snippets
from huidurep_sorter.traces.whitening import LocallyWhitenedRecording
from huidurep_sorter.training.known_spikes import PEAK_DTYPE, at_most, main_channels, peaks_near

MARGIN = 4  # samples at both ends of a snippet, so that a view may be shifted by so many
OWN_CHANNEL_SHARE = 0.5  # of the spikes lie on the channel where they are largest themselves, as a detector's peaks do
GAP_S = 0.004  # s of silence around each template in the bank, so that filtering doesn't mix two of them
QUIET = 6.0  # units of noise; a snippet of noise has no larger value, so that it holds no clear spike
N_NOISE = 1500  # snippets of noise, before the loud ones are dropped: enough that the views of a batch differ
DETECT_THRESHOLD = 5.0  # units of noise; lower ones let noise in, which no label tells from spikes
DETECT_SWEEP_MS = 0.5  # ms around a peak without a larger one
DETECT_RADIUS_UM = 50.0  # um around a peak without a larger one: one spike is one peak


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
    """Cut out the spikes of a simulated recording where a detector would find them, with the clean spikes.

    Parameters
    ----------
    simulated : SimulatedRecording
    window : Window
        Of the encoder's snippets.
    n_channels : int
        Of the encoder's snippets.
    seed : int
    max_spikes_per_unit : int
        More are left out, drawn at random.
    """
    rng = np.random.default_rng(seed)
    lazy = preprocess(simulated.recording, seed=seed)
    whitened = NumpyRecording([lazy.get_traces()], lazy.sampling_frequency)  # read three times below
    whitened.set_probegroup(lazy.get_probegroup(), group_mode="by_probe")
    spikes = at_most(simulated.spikes, max_spikes_per_unit, rng)
    main = np.abs(simulated.templates).max(axis=2).argmax(axis=2)[spikes["unit_index"], spikes["step"]]
    own_channel = rng.random(len(spikes)) < OWN_CHANNEL_SHARE
    peaks = peaks_near(whitened, spikes["sample_index"], main, own_channel)
    bank, in_bank = _template_bank(simulated, lazy, spikes, peaks)

    where = whitened.get_channel_locations()[main]
    location = np.array(
        [
            where[spikes["unit_index"] == u].mean(axis=0) if (spikes["unit_index"] == u).any() else [0, 0]
            for u in range(len(simulated.templates))
        ]
    )
    read = SnippetReader(window, n_channels, rng)
    clean = read(bank, in_bank) * spikes["amplitude"][:, None, None].astype("float16")
    return read.spike_set(whitened, peaks, spikes["unit_index"], location[spikes["unit_index"]], clean)


def _template_bank(simulated, preprocessed, spikes, peaks):
    """Put all templates one after another, filtered and whitened, and find each spike's place in them.

    They are whitened as the recording was; their band is the default of SpikeInterface's filter.
    """
    n_units, n_steps, n_samples, n_channels = simulated.templates.shape
    gap = int(GAP_S * preprocessed.sampling_frequency)
    padded = np.pad(simulated.templates, ((0, 0), (0, 0), (gap, gap), (0, 0))).reshape(-1, n_channels)
    bank = NumpyRecording([padded], preprocessed.sampling_frequency)
    bank.set_probegroup(preprocessed.get_probegroup(), group_mode="by_probe")
    bank = LocallyWhitenedRecording(bandpass_filter(bank, dtype="float32"), preprocessed._kwargs["matrix"])
    in_bank = peaks.copy()
    in_bank["sample_index"] += (spikes["unit_index"] * n_steps + spikes["step"]) * (n_samples + 2 * gap)
    in_bank["sample_index"] += gap + simulated.n_before - spikes["sample_index"]
    return bank, in_bank


def spikes_of_recording(
    recording, window: Window, n_channels, seed, sorting=None, max_spikes=20_000, verbose=False
) -> SpikeSet:
    """Cut out the spikes of a recording: those of a sorting, or without one all that are detected.

    Parameters
    ----------
    recording : BaseRecording
    window : Window
        Of the encoder's snippets.
    n_channels : int
        Of the encoder's snippets.
    seed : int
    sorting : BaseSorting or None
        Its units are trusted as neurons.
    max_spikes : int
        More are left out, drawn at random.
    verbose : bool
        Show a progress bar.

    Raises
    ------
    ValueError
        If there is a sorting, and the recording has several segments.
    """
    rng = np.random.default_rng(seed)
    whitened = preprocess(recording, seed=seed)
    if sorting is None:
        peaks = detect(whitened, seed, verbose)
        peaks = np.sort(rng.permutation(peaks)[:max_spikes], order=("segment_index", "sample_index"))
        location = recording.get_channel_locations()[peaks["channel_index"]]
        return SnippetReader(window, n_channels, rng).spike_set(whitened, peaks, np.full(len(peaks), -1), location)
    if recording.get_num_segments() != 1:
        raise ValueError("a recording with a sorting must have one segment to be trained on")
    spikes = sorting.to_spike_vector()
    spikes = np.sort(rng.permutation(spikes)[:max_spikes], order="sample_index")
    main = main_channels(whitened, spikes, len(sorting.unit_ids))[spikes["unit_index"]]
    own_channel = rng.random(len(spikes)) < OWN_CHANNEL_SHARE
    peaks = peaks_near(whitened, spikes["sample_index"], main, own_channel)
    location = recording.get_channel_locations()[main]
    return SnippetReader(window, n_channels, rng).spike_set(whitened, peaks, spikes["unit_index"], location)


def detect(recording, seed, verbose=False):
    """Detect all peaks of a preprocessed recording."""
    job_kwargs = dict(progress_bar=verbose)
    kwargs = dict(
        peak_sign="neg",
        detect_threshold=DETECT_THRESHOLD,
        exclude_sweep_ms=DETECT_SWEEP_MS,
        radius_um=DETECT_RADIUS_UM,
        noise_levels=estimate_noise(recording, seed, job_kwargs),
    )
    return detect_peaks(recording, method="locally_exclusive", method_kwargs=kwargs, job_kwargs=job_kwargs)


class SnippetReader:
    """Reads wide snippets of one probe; those of noise at the samples for which `where` is True, if it is given."""

    def __init__(self, window, n_channels, rng, where=None):
        self.window = Window(
            n_samples=window.n_samples + 2 * MARGIN,
            n_before=window.n_before + MARGIN,
            sampling_frequency=window.sampling_frequency,
        )
        self.n_channels, self.rng, self.where = n_channels, rng, where

    def __call__(self, recording, peaks):
        """Read the snippets at some peaks, (n, n_samples + 2 * MARGIN, n_channels) float16."""
        out = np.zeros((len(peaks), self.window.n_samples, self.n_channels), dtype="float16")
        neighbourhoods = find_neighbourhoods(recording, self.n_channels)
        for indices, snippets in iterate_snippets(recording, peaks, self.window, neighbourhoods):
            out[indices] = snippets
        return out

    def spike_set(self, recording, peaks, unit, location_um, clean=None):
        """Make a set of the spikes at some peaks, with noise from elsewhere."""
        neighbourhoods = find_neighbourhoods(recording, self.n_channels)
        noise = self(recording, self._random_peaks(recording))
        quiet = np.abs(noise).max(axis=(1, 2)) < QUIET
        return SpikeSet(
            snippets=self(recording, peaks),
            clean=np.zeros(0, dtype="float16") if clean is None else clean,
            offsets_um=neighbourhoods.offsets_um[peaks["channel_index"]],
            unit=np.asarray(unit, dtype="int64"),
            location_um=np.asarray(location_um, dtype="float32")[:, :2],
            noise=noise[quiet],
        )

    def _random_peaks(self, recording):
        """Draw places of the first segment, as peaks; fewer than `N_NOISE` where `where` leaves some out."""
        out = np.zeros(N_NOISE, dtype=PEAK_DTYPE)
        out["sample_index"] = np.sort(self.rng.integers(recording.get_num_samples(0), size=N_NOISE))
        out["channel_index"] = self.rng.integers(recording.get_num_channels(), size=N_NOISE)
        return out if self.where is None else out[self.where(out["sample_index"])]
