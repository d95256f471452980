"""What a sorting found on its way, kept beside it for the report; of a bounded size for any length of a recording."""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from huidurep_sorter.templates.split_half import split_half_window
from huidurep_sorter.units.discarded import as_table

NAME = "findings.npz"


@dataclass(frozen=True, kw_only=True)
class FindingRules:
    """How much is kept; limits of the size of a report and of the time to draw it."""

    max_peaks: int = 60_000  # of the drift raster
    max_embedded_of_unit: int = 200  # peaks of each unit that are shown in the embedding
    max_embedded_of_none: int = 4000  # peaks of no unit
    max_amplitudes_of_unit: int = 1000  # spikes of each unit whose amplitude is shown
    n_channels_of_unit: int = 12  # nearest to its main channel, on which a unit is drawn


RULES = FindingRules()


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the report shows beside the sorting.

    Attributes
    ----------
    sampling_frequency : (1,) float64
        In Hz.
    n_samples : (1,) int64
        Of the recording, its segments end to end.
    contacts_um : (n_channels, 2) float64
    channel_ids, shanks : (n_channels,) str
    peak_sample, peak_owner : (n_peaks,) int64
        Of the drift raster: when, and the index of its unit, -1 for none.
    peak_um : (n_peaks, 2) float32
    embedded : (n_embedded, n_features) float32
        Features of some peaks.
    embedded_owner, embedded_channel : (n_embedded,) int64
    spike_sample, spike_owner : (n_spikes,) int64
        Some spikes of each unit.
    spike_amplitude : (n_spikes,) float32
        In units of noise, as all sizes.
    near : (n_units, n_near) int64
        Channels on which each unit is drawn, the main channel first.
    waveforms : (n_units, n_samples, n_near) float32
        Mean waveforms on these channels.
    n_before : (1,) int64
        Samples of a waveform before its peak.
    discarded_reason : (n_discarded,) str
    discarded_num_spikes, discarded_channel_index : (n_discarded,) int64
    discarded_template_norm : (n_discarded,) float64
    """

    sampling_frequency: np.ndarray
    n_samples: np.ndarray
    contacts_um: np.ndarray
    channel_ids: np.ndarray
    shanks: np.ndarray
    peak_sample: np.ndarray
    peak_owner: np.ndarray
    peak_um: np.ndarray
    embedded: np.ndarray
    embedded_owner: np.ndarray
    embedded_channel: np.ndarray
    spike_sample: np.ndarray
    spike_owner: np.ndarray
    spike_amplitude: np.ndarray
    near: np.ndarray
    waveforms: np.ndarray
    n_before: np.ndarray
    discarded_reason: np.ndarray
    discarded_num_spikes: np.ndarray
    discarded_channel_index: np.ndarray
    discarded_template_norm: np.ndarray

    @property
    def discarded(self) -> pd.DataFrame:
        """Give the units that were left out, as `list_discarded` does."""
        columns = ("reason", "num_spikes", "template_norm", "channel_index")
        return as_table(list(zip(*(getattr(self, f"discarded_{name}") for name in columns), strict=True)))

    def save(self, folder):
        """Save as `<folder>/findings.npz`, which is there only when it is complete."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"partial_{NAME}"
        np.savez_compressed(partial, **{f.name: getattr(self, f.name) for f in fields(self)})
        partial.replace(folder / NAME)

    @classmethod
    def load(cls, folder) -> "Findings":
        """Load what `save` saved."""
        with np.load(folder / NAME, allow_pickle=False) as arrays:
            return cls(**{f.name: arrays[f.name] for f in fields(cls)})


def collect(measured, clusters, discarded, seed=0) -> Findings:
    """Collect what the report shows.

    Parameters
    ----------
    measured : Measured
        The units that are given to the user.
    clusters : Spikes
        The peaks that were clustered, with features and positions.
    discarded : DataFrame
        As `list_discarded` gives.
    seed : int, default: 0
        Chooses which peaks and spikes are shown where there are many.
    """
    rng, traces, units = np.random.default_rng(seed), measured.traces, measured.units
    raster = draw(rng, np.zeros(len(clusters), dtype="int64"), RULES.max_peaks)
    embedded = draw(rng, measured.owner, RULES.max_embedded_of_unit, RULES.max_embedded_of_none)
    known = np.flatnonzero(np.isfinite(measured.fits.amplitude))
    shown = known[draw(rng, units.label[known], RULES.max_amplitudes_of_unit)]
    near = nearest_channels(traces, measured.main)
    return Findings(
        sampling_frequency=np.array([traces.sampling_frequency]),
        n_samples=np.array([traces.n_samples]),
        contacts_um=traces.locations_um,
        channel_ids=np.asarray(traces.recording.channel_ids).astype("str"),
        shanks=traces.shanks.astype("str"),
        peak_sample=clusters.sample_index[raster],
        peak_owner=measured.owner[raster],
        peak_um=clusters.positions_um[raster],
        embedded=clusters.features[embedded],
        embedded_owner=measured.owner[embedded],
        embedded_channel=clusters.channel_index[embedded],
        spike_sample=units.sample_index[shown],
        spike_owner=units.label[shown],
        spike_amplitude=measured.fits.amplitude[shown],
        near=near,
        waveforms=np.take_along_axis(measured.waveforms, near[:, None], axis=2).astype("float32"),
        n_before=np.array([split_half_window(traces.sampling_frequency)[0]]),
        discarded_reason=discarded["reason"].to_numpy().astype("str"),
        discarded_num_spikes=discarded["num_spikes"].to_numpy(),
        discarded_channel_index=discarded["channel_index"].to_numpy(),
        discarded_template_norm=discarded["template_norm"].to_numpy(),
    )


def draw(rng, labels, most, most_of_none=0):
    """Draw indices at random, at most so many of each label and of -1, in order, (n_drawn,) int64."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.unique(labels[order], return_counts=True)[1]
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < np.where(labels[order] < 0, most_of_none, most)])


def nearest_channels(traces, main):
    """Find the channels nearest to each unit's main channel on its shank, that one first, (n_units, n_near) int64.

    Where a shank has fewer, the main channel is repeated.
    """
    n = min(RULES.n_channels_of_unit, len(traces.shanks))
    away_um = np.linalg.norm(traces.locations_um[main][:, None] - traces.locations_um, axis=2)
    away_um[np.arange(len(main)), main] = -1.0
    away_um[traces.shanks[main][:, None] != traces.shanks] = np.inf
    near = np.argsort(away_um, axis=1, kind="stable")[:, :n]
    return np.where(np.isfinite(np.take_along_axis(away_um, near, axis=1)), near, main[:, None])
