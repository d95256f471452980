"""The encoder's embeddings as an extension of SpikeInterface's `SortingAnalyzer`, for a sorting by any sorter.

``analyzer.compute("huidurep_embeddings")`` works wherever this package or `spikeinterface.sorters` was imported. It is
saved, loaded, and handed on to analyzers of fewer or merged units, as SpikeInterface's own extensions are.
"""

import numpy as np
import pandas as pd
from spikeinterface.core import create_sorting_analyzer
from spikeinterface.core.node_pipeline import base_peak_dtype
from spikeinterface.core.sortinganalyzer import AnalyzerExtension, register_result_extension

NAME = "huidurep_embeddings"
REACH_UM = 100.0  # um between main channels, within which units are compared


EXTENSIONS = {  # what a person looks at first
    "random_spikes": dict(seed=0),
    "waveforms": {},
    "templates": {},
    "noise_levels": {},
    "spike_amplitudes": {},
    "spike_locations": {},
    "unit_locations": {},
    "correlograms": {},
    "isi_histograms": {},
    "template_similarity": {},
    "quality_metrics": dict(metric_params=dict(isi_violation=dict(isi_threshold_ms=1.5, min_isi_ms=1.0))),
    NAME: {},
}


def make_analyzer(sorting, recording, folder=None, job_kwargs=None):
    """Make a `SortingAnalyzer` that is ready to be looked at: waveforms, locations, metrics and embeddings.

    Parameters
    ----------
    sorting : BaseSorting
        Of at least one unit, by any sorter.
    recording : BaseRecording
        Raw, of that sorting; it is filtered from 150 to 7000 Hz, as the encoder expects.
    folder : str, Path or None, default: None
        Where to save it; None keeps it in memory.
    job_kwargs : dict, optional
        SpikeInterface's.

    Returns
    -------
    analyzer : SortingAnalyzer
    """
    from huidurep_sorter.parameters import SortingParameters
    from huidurep_sorter.traces.preprocessing import band_pass

    defaults, job_kwargs = SortingParameters(), job_kwargs or {}
    filtered = band_pass(recording, defaults.freq_min, defaults.freq_max)
    kind = "memory" if folder is None else "binary_folder"
    analyzer = create_sorting_analyzer(sorting, filtered, format=kind, folder=folder, job_kwargs=job_kwargs)
    analyzer.compute(EXTENSIONS, verbose=False, **job_kwargs)
    return analyzer


class ComputeHuidurepEmbeddings(AnalyzerExtension):
    """Represent the spikes of the extension "random_spikes", each around the main channel of its unit.

    Parameters
    ----------
    weights : str or None, default: None
        As in `load_encoder`.
    torch_device : str, default: "auto"
    preprocess : bool, default: True
        Filter and whiten the traces as the encoder expects. False for a recording that is whitened already.
    """

    extension_name = NAME
    depend_on = ["random_spikes", "templates"]
    need_recording = True
    use_nodepipeline = False
    need_job_kwargs = False

    def _set_params(self, weights=None, torch_device="auto", preprocess=True):
        return dict(weights=None if weights is None else str(weights), torch_device=torch_device, preprocess=preprocess)

    def _run(self, verbose=False):
        spikes = self.sorting_analyzer.get_extension("random_spikes").get_random_spikes()
        self.data["embeddings"] = self.embed(
            spikes, main_channels(self.sorting_analyzer)[spikes["unit_index"]], verbose
        )

    def embed(self, spikes, channels, verbose=False):
        """Represent spikes of a spike vector, (n,), each around a channel, (n,): (n, n_features) float32."""
        from huidurep_sorter.encoder.embedding import embed_spikes

        peaks = np.zeros(len(spikes), dtype=base_peak_dtype)
        peaks["sample_index"], peaks["segment_index"] = spikes["sample_index"], spikes["segment_index"]
        peaks["channel_index"] = channels
        weights, device, preprocess = (self.params[name] for name in ("weights", "torch_device", "preprocess"))
        recording = self.sorting_analyzer.recording
        return embed_spikes(recording, peaks, weights, device, preprocess=preprocess, verbose=verbose)

    def _get_data(self):
        """Give the embeddings, (n_random_spikes, n_features) float32, in the order of the random spikes."""
        return self.data["embeddings"]

    def get_embeddings_one_unit(self, unit_id):
        """Give the embeddings of a unit's random spikes.

        Parameters
        ----------
        unit_id : str or int
            As in `SortingAnalyzer.unit_ids`.

        Returns
        -------
        embeddings : (n_spikes, n_features) float32
        """
        spikes = self.sorting_analyzer.get_extension("random_spikes").get_random_spikes()
        return self.data["embeddings"][spikes["unit_index"] == self.sorting_analyzer.sorting.id_to_index(unit_id)]

    def _select_units_extension_data(self, unit_ids):
        spikes = self.sorting_analyzer.get_extension("random_spikes").get_random_spikes()
        kept = np.isin(spikes["unit_index"], self.sorting_analyzer.sorting.ids_to_indices(unit_ids))
        return dict(embeddings=np.asarray(self.data["embeddings"])[kept])

    def _select_channels_extension_data(self, channel_ids):
        return dict(embeddings=np.array(self.data["embeddings"]))

    def _merge_extension_data(
        self, merge_unit_groups, new_unit_ids, new_sorting_analyzer, keep_mask=None, verbose=False, **job_kwargs
    ):
        kept = np.array(self.data["embeddings"])
        if keep_mask is not None:
            kept = kept[keep_mask[self.sorting_analyzer.get_extension("random_spikes").get_data()]]
        return dict(embeddings=kept)

    def _split_extension_data(self, split_units, new_unit_ids, new_sorting_analyzer, verbose=False, **job_kwargs):
        return dict(embeddings=np.array(self.data["embeddings"]))


def compute_embedding_metrics(analyzer, n_neighbors=5, max_spikes_per_unit=200, seed=0) -> pd.DataFrame:
    """Compute SpikeInterface's metrics of isolation on embeddings, in place of principal components.

    A unit is compared with those whose main channel is near its own. Embeddings tell shapes and not places, so that all
    of these spikes are represented around the channel of that unit.

    Parameters
    ----------
    analyzer : SortingAnalyzer
        With the extension "huidurep_embeddings", whose parameters are used, and with its recording.
    n_neighbors : int, default: 5
        As in SpikeInterface's `nearest_neighbors_metrics`.
    max_spikes_per_unit : int, default: 200
        Of the random spikes; at most so many are compared, drawn at random.
    seed : int, default: 0

    Returns
    -------
    metrics : DataFrame
        A row a unit: `nn_hit_rate`, `nn_miss_rate`, `isolation_distance`, `l_ratio`, `d_prime`; NaN where there is no
        other unit near, or too few spikes.

    Raises
    ------
    ValueError
        If the extension was not computed.
    """
    if not analyzer.has_extension(NAME):
        raise ValueError(f'compute the embeddings first: analyzer.compute("{NAME}")')
    spikes = analyzer.get_extension("random_spikes").get_random_spikes()
    order = np.random.default_rng(seed).permutation(len(spikes))
    some = [order[spikes["unit_index"][order] == unit][:max_spikes_per_unit] for unit in range(len(analyzer.unit_ids))]
    main = main_channels(analyzer)
    places = analyzer.get_channel_locations()[main]
    compared = [
        np.concatenate([some[other] for other in np.flatnonzero(np.linalg.norm(places - place, axis=1) <= REACH_UM)])
        for place in places
    ]
    around = np.repeat(main, [len(indices) for indices in compared])
    embeddings = analyzer.get_extension(NAME).embed(spikes[np.concatenate(compared)], around)
    ends = np.cumsum([len(indices) for indices in compared])
    rows = [
        measure_isolation(embeddings[end - len(indices) : end], spikes["unit_index"][indices], unit, n_neighbors)
        for unit, (indices, end) in enumerate(zip(compared, ends, strict=True))
    ]
    return pd.DataFrame(rows, index=analyzer.unit_ids)


def measure_isolation(features, labels, unit, n_neighbors):
    """Measure by SpikeInterface how far a unit is from the others, from features (n_spikes, n_features): a dict."""
    from spikeinterface.metrics.quality.pca_metrics import (
        d_prime_metric,
        mahalanobis_metrics,
        nearest_neighbors_metrics,
    )

    names = ("nn_hit_rate", "nn_miss_rate", "isolation_distance", "l_ratio", "d_prime")
    n_own = (labels == unit).sum()
    if min(n_own, len(labels) - n_own) <= n_neighbors:
        return dict.fromkeys(names, np.nan)
    nearest = nearest_neighbors_metrics(features, labels, unit, len(labels), n_neighbors)
    distances = mahalanobis_metrics(features, labels, unit) if n_own > 2 * features.shape[1] else (np.nan, np.nan)
    return dict(zip(names, (*nearest, *distances, d_prime_metric(features, labels, unit)), strict=True))


def main_channels(analyzer):
    """Give the index of each unit's main channel, (n_units,)."""
    return np.asarray(analyzer.get_main_channels(outputs="index", with_dict=False))


def register():
    """Make SpikeInterface know the extension."""
    register_result_extension(ComputeHuidurepEmbeddings)
