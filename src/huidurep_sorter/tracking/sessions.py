"""What tracking knows of a session: where its units are, and what their spikes look like around any channel."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import Motion, NumpySorting, create_sorting_analyzer
from spikeinterface.core.node_pipeline import base_peak_dtype

from huidurep_sorter.report.page import autocorrelograms
from huidurep_sorter.traces.interpolation import MotionCorrectedRecording
from huidurep_sorter.traces.preprocessing import preprocess
from huidurep_sorter.traces.snippets import find_neighbourhoods, iterate_snippets
from huidurep_sorter.traces.traces import are_learned_from


@dataclass(frozen=True, kw_only=True)
class SessionRules:
    """How much is read of a session."""

    n_spikes: int = 64  # of each unit that are looked at, drawn at random (units-56)
    max_apart_um: float = 1.0  # um between the places that two sessions give for one contact; a limit of rounding
    n_interval_bins: int = 26  # of the logarithm of the intervals between spikes, from 1 ms to 40 s; a limit of detail


RULES = SessionRules()


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session, on the channels that all sessions have.

    Attributes
    ----------
    recording : BaseRecording
        Preprocessed as the encoder expects.
    unit_ids : (n_units,) array
        Units that have spikes.
    spikes : structured array (n_spikes,)
        SpikeInterface's spike vector of some spikes of each unit, moved to the peak of its mean waveform.
    main : (n_units,) int64
        Channel of the largest deflection.
    location_um : (n_units, 2) float64
    intervals : (n_units, n_interval_bins) float64
        Share of each unit's intervals between spikes in bins of their logarithm.
    num_spikes : (n_units,) int64
    duration_s : float
    autocorrelograms : (n_units, n_bins) float64
        In Hz.
    bins_ms : (n_bins + 1,) float64
    """

    recording: object
    unit_ids: np.ndarray
    spikes: np.ndarray
    main: np.ndarray
    location_um: np.ndarray
    intervals: np.ndarray
    num_spikes: np.ndarray
    duration_s: float
    autocorrelograms: np.ndarray
    bins_ms: np.ndarray

    @classmethod
    def of(cls, sorting, recording, seed=0) -> "Session":
        """Measure the units of a sorting.

        Parameters
        ----------
        sorting : BaseSorting
        recording : BaseRecording
            With the channels that all sessions have, in one order.
        seed : int
            Chooses the spikes that are looked at.
        """
        sorting = NumpySorting.from_sorting(sorting.remove_empty_units())  # without its main channels
        recording = preprocess(recording) if len(sorting.unit_ids) else recording  # which may be silent
        job_kwargs = dict(n_jobs=1, chunk_duration="1s", progress_bar=False)  # nothing depends on a user's own
        own = create_sorting_analyzer(
            spread_spikes(sorting, recording), recording, sparse=False, seed=seed, job_kwargs=job_kwargs
        )
        of_units = {
            "random_spikes": dict(seed=seed, max_spikes_per_unit=RULES.n_spikes),
            "templates": {},
            "unit_locations": {},
        }
        if len(sorting.unit_ids):
            own.compute(of_units, verbose=False, **job_kwargs)
        shown = dict(zip(("autocorrelograms", "bins_ms"), autocorrelograms(sorting), strict=True))
        return cls(
            recording=recording,
            unit_ids=np.asarray(sorting.unit_ids),
            intervals=np.array([count_intervals(sorting, unit) for unit in sorting.unit_ids]),
            num_spikes=sorting.count_num_spikes_per_unit(outputs="array"),
            duration_s=recording.get_total_duration(),
            **read_analyzer(own),
            **shown,
        )

    def represent(self, encoder, units, channels, shift_um=0.0):
        """Represent units around channels, as if the probe had not been displaced.

        Parameters
        ----------
        encoder : Encoder
        units, channels : (n,) int64
            What is to be represented: the spikes of this unit around this channel.
        shift_um : float
            By how much units lie further along y in this session than in the first.

        Returns
        -------
        embeddings : (n, n_features) float64
            Mean of the unit's spikes.
        waveforms : (n, n_samples, n_neighbours) float64
            Mean snippet, on the channels nearest to the channel.
        """
        recording = displace(self.recording, shift_um) if shift_um else self.recording
        spikes_of = [np.flatnonzero(self.spikes["unit_index"] == unit) for unit in range(len(self.unit_ids))]
        counts = np.array([len(spikes_of[unit]) for unit in units], dtype="int64")
        which = np.concatenate([np.zeros(0, dtype="int64"), *(spikes_of[unit] for unit in units)])
        peaks = np.zeros(len(which), dtype=base_peak_dtype)
        for name in ("sample_index", "segment_index"):
            peaks[name] = self.spikes[name][which]
        peaks["channel_index"] = np.repeat(channels, counts)
        row = np.repeat(np.arange(len(units)), counts)
        near = find_neighbourhoods(recording, encoder.config.n_channels)
        embeddings = np.zeros((len(units), encoder.config.n_features))
        waveforms = np.zeros((len(units), encoder.config.n_samples, encoder.config.n_channels))
        for indices, snippets in iterate_snippets(recording, peaks, encoder.config.window, near):
            offsets_um = near.offsets_um[peaks["channel_index"][indices]]
            np.add.at(embeddings, row[indices], encoder.embed(snippets, offsets_um=offsets_um))
            np.add.at(waveforms, row[indices], snippets)
        return embeddings / counts[:, None], waveforms / counts[:, None, None]

    @property
    def rate(self):
        """Give the spikes a second of each unit, (n_units,)."""
        return self.num_spikes / self.duration_s


def spread_spikes(sorting, recording):
    """Leave out spikes of a long recording, so that few stretches of it have to be read.

    What is kept lies in every k-th second; of units that have too few spikes there all are kept.
    """
    spikes = sorting.to_spike_vector()
    kept = are_learned_from(recording, spikes["sample_index"])
    counts = np.bincount(spikes["unit_index"][kept], minlength=len(sorting.unit_ids))
    kept |= counts[spikes["unit_index"]] < RULES.n_spikes
    return NumpySorting(spikes[kept], sorting.sampling_frequency, sorting.unit_ids)


def read_analyzer(analyzer):
    """Read spikes and places of units from an analyzer of preprocessed traces, as a dict of what `Session` keeps."""
    n_units = len(analyzer.unit_ids)
    if n_units == 0:
        none = np.zeros(0, dtype="int64")
        return dict(spikes=analyzer.sorting.to_spike_vector(), main=none, location_um=np.zeros((0, 2)))
    main = np.asarray(analyzer.get_main_channels(outputs="index", with_dict=False))
    extension = analyzer.get_extension("templates")
    on_main = extension.get_templates()[np.arange(n_units), :, main]
    late = np.abs(on_main).argmax(axis=1) - extension.nbefore
    spikes = analyzer.get_extension("random_spikes").get_random_spikes().copy()
    spikes["sample_index"] += late[spikes["unit_index"]]
    lengths = np.array([analyzer.get_num_samples(segment) for segment in range(analyzer.get_num_segments())])
    spikes["sample_index"] = np.clip(spikes["sample_index"], 0, lengths[spikes["segment_index"]] - 1)
    return dict(spikes=spikes, main=main, location_um=analyzer.get_extension("unit_locations").get_data()[:, :2])


def count_intervals(sorting, unit_id):
    """Give the share of a unit's intervals in bins of their logarithm, (n_interval_bins,)."""
    trains = [sorting.get_unit_spike_train(unit_id, segment) for segment in range(sorting.get_num_segments())]
    intervals_s = np.concatenate([np.diff(train) for train in trains]) / sorting.sampling_frequency
    edges = np.logspace(-3, np.log10(40), RULES.n_interval_bins + 1)
    return np.histogram(np.clip(intervals_s, edges[0], edges[-1]), edges)[0] / max(len(intervals_s), 1)


def displace(recording, shift_um):
    """Give the recording as it were if all units lay `shift_um` less far along y, lazily, by kriging."""
    n_segments = recording.get_num_segments()
    displacement, times = [np.array([[shift_um]])] * n_segments, [np.array([0.0])] * n_segments
    return MotionCorrectedRecording(recording, Motion(displacement, times, np.array([0.0])))
