"""How well do features of spikes separate neurons? Known spikes, several features, the paper's test and harder ones.

- global: 10 units of the whole recording at once, as in the paper;
- local: the units within 60 um of each unit in turn, which is what a sorter must tell apart;
- early and late: local, the mixture fitted to the first third of the recording and scored there, and on the last;
- local unknown K: HDBSCAN, which isn't told how many units there are.

All but the last are the adjusted Rand index of a full Gaussian mixture that is told how many. The bound is a linear
discriminant on the snippets, trained on the labels of other spikes.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from huidurep_sorter.benchmark.collisions import RADIUS_UM as COLLISION_RADIUS_UM
from huidurep_sorter.benchmark.collisions import pairs_of_spikes
from huidurep_sorter.training.known_spikes import at_most, main_channels, peaks_near

SNR_BANDS = ((4.0, 6.0), (6.0, 10.0), (10.0, np.inf))
RADIUS_UM = 60.0
MIN_SPIKES = 40
SPIKES_PER_UNIT = 200
COLLISION_MS = 1.0
MARGIN = 200  # samples at both ends of the recording whose spikes are left out


@dataclass(frozen=True, kw_only=True)
class KnownSpikes:
    """True spikes of a recording, and the peaks that a detector would have made of them.

    Attributes
    ----------
    recording : BaseRecording
        Preprocessed, of one segment.
    peaks : structured array (n,)
        In the order of time.
    sample_index : (n,) int64
        The true time; the peak is where the traces are deepest near it.
    unit : (n,) int64
        Index into `unit_ids`.
    unit_ids : (n_units,)
    location_um : (n, 2) float64
        Of the main channel of the spike's unit.
    snr : (n,) float64
        Of the spike's unit.
    collides : (n,) bool
        Another unit's spike is within 1 ms and 100 um.
    """

    recording: object
    peaks: np.ndarray
    sample_index: np.ndarray
    unit: np.ndarray
    unit_ids: np.ndarray
    location_um: np.ndarray
    snr: np.ndarray
    collides: np.ndarray

    def take(self, indices):
        """Some of the spikes."""
        fields = ("peaks", "sample_index", "unit", "location_um", "snr", "collides")
        return replace(self, **{name: getattr(self, name)[indices] for name in fields})


def read_known_spikes(folder) -> KnownSpikes:
    """Read `folder/recording` and `folder/sorting`, of one segment; units of too few spikes are left out."""
    from spikeinterface.core import load

    from huidurep_sorter.traces.preprocessing import preprocess

    recording, sorting = load(Path(folder) / "recording"), load(Path(folder) / "sorting")
    if recording.get_num_segments() != 1:
        raise ValueError(f"{folder}: the benchmark takes recordings of one segment")
    whitened = preprocess(recording).save(format="memory", progress_bar=False, verbose=False)
    spikes = sorting.to_spike_vector()
    main = main_channels(whitened, spikes, len(sorting.unit_ids))
    location_um = recording.get_channel_locations()[main, :2]
    sample, unit = spikes["sample_index"], spikes["unit_index"]
    inside = (sample > MARGIN) & (sample < recording.get_num_samples(0) - MARGIN)
    enough = np.bincount(unit[inside], minlength=len(main)) >= MIN_SPIKES
    if not enough.any():
        raise ValueError(f"{folder}: no unit has {MIN_SPIKES} spikes")
    kept = inside & enough[unit]
    sample, unit = sample[kept], unit[kept]
    peaks = peaks_near(whitened, sample, main[unit], np.ones(len(unit), dtype=bool))
    known = KnownSpikes(
        recording=whitened,
        peaks=peaks,
        sample_index=sample,
        unit=unit,
        unit_ids=sorting.unit_ids,
        location_um=location_um[unit],
        snr=_unit_snr(sorting, whitened, peaks, unit)[unit],
        collides=_collides(sorting, location_um)[kept],
    )
    return known.take(np.argsort(peaks["sample_index"], kind="stable"))


def _unit_snr(sorting, whitened, peaks, unit):
    """The sorting's property `snr`, or the mean depth of the peaks in units of noise; (n_units,)."""
    snr = sorting.get_property("snr")
    if snr is not None:
        return np.asarray(snr, dtype="float64")
    depth = -whitened.get_traces()[peaks["sample_index"], peaks["channel_index"]]
    n_units = len(sorting.unit_ids)
    return np.bincount(unit, depth, n_units) / np.maximum(np.bincount(unit, minlength=n_units), 1)


def _collides(sorting, location_um):
    """Which spikes of `sorting.to_spike_vector()` have another unit's near them in time and space."""
    close = np.linalg.norm(location_um[:, None] - location_um[None], axis=2) <= COLLISION_RADIUS_UM
    np.fill_diagonal(close, False)
    first, second, _ = pairs_of_spikes(sorting, close, COLLISION_MS * sorting.sampling_frequency / 1000)
    out = np.zeros(len(sorting.to_spike_vector()), dtype=bool)
    out[first] = out[second] = True
    return out


def draw_spikes(known: KnownSpikes, spikes_per_unit=SPIKES_PER_UNIT, seed=0):
    """Indices of at most so many spikes of each unit, in the order of time."""
    spikes = np.zeros(len(known.unit), dtype=[("unit_index", "int64"), ("index", "int64")])
    spikes["unit_index"], spikes["index"] = known.unit, np.arange(len(known.unit))
    return at_most(spikes, spikes_per_unit, np.random.default_rng(seed))["index"]


def read_snippets(recording, peaks, window, neighbourhoods):
    """The snippets of all peaks in memory, (n, n_samples, n_neighbours) float32."""
    from huidurep_sorter.traces.snippets import iterate_snippets

    snippets = np.empty((len(peaks), window.n_samples, neighbourhoods.channel_indices.shape[1]), dtype="float32")
    for indices, piece in iterate_snippets(recording, peaks, window, neighbourhoods):
        snippets[indices] = piece
    return snippets


def compute_features(recording, peaks, methods, seed=0) -> dict:
    """Features by label, each (n, n_features), and the snippets themselves as "snippets".

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed.
    peaks : structured array (n,)
        In the order of segments and time.
    methods : dict
        Label to "pca" (32 components of the whole snippet), "svd" (SpikeInterface's, of each channel), or an Encoder.
    seed : int, default: 0
    """
    from sklearn.decomposition import PCA

    from huidurep_sorter.encoder.embedding import embed_spikes
    from huidurep_sorter.encoder.network import EncoderConfig
    from huidurep_sorter.spikes.features import svd_features
    from huidurep_sorter.traces.snippets import find_neighbourhoods

    config = EncoderConfig()
    snippets = read_snippets(recording, peaks, config.window, find_neighbourhoods(recording, config.n_channels))
    flat = snippets.reshape(len(snippets), -1)
    out = {}
    for label, method in methods.items():
        if method == "pca":
            out[label] = PCA(min(config.n_features, *flat.shape), random_state=seed).fit_transform(flat)
        elif method == "svd":
            out[label] = svd_features(recording, peaks, seed, dict(n_jobs=1, progress_bar=False))
        else:
            out[label] = embed_spikes(recording, peaks, method, preprocess=False)
    return out | {"snippets": flat}


def neighbourhoods_of(known: KnownSpikes):
    """Indices of the spikes of each unit and its neighbours, for units that have any."""
    out = []
    for unit in np.unique(known.unit):
        centre = known.location_um[known.unit == unit][0]
        near = np.flatnonzero(np.linalg.norm(known.location_um - centre, axis=1) <= RADIUS_UM)
        if len(np.unique(known.unit[near])) > 1:
            out.append(near)
    return out


def score(features, known: KnownSpikes, seed=0) -> dict:
    """Scores by name; each the mean over neighbourhoods (or, global, over 8 draws of 10 units)."""
    units, rng = np.unique(known.unit), np.random.default_rng(seed)
    draws = [np.isin(known.unit, rng.choice(units, min(10, len(units)), replace=False)) for _ in range(8)]
    results = {"global": [_mixture_ari(features[d], known.unit[d], seed) for d in draws]}
    results |= {k: [] for k in ("local", "early", "late", "local unknown K", *BAND_NAMES)}
    for near in neighbourhoods_of(known):
        x, unit, snr = features[near], known.unit[near], known.snr[near]
        found = _mixture(x, len(np.unique(unit)), seed)
        results["local"].append(_ari(unit, found))
        results["local unknown K"].append(_hdbscan_ari(x, unit, seed))
        early, late = _thirds_ari(x, unit, known.peaks["sample_index"][near], known.recording, seed)
        results["early"].append(early)
        results["late"].append(late)
        for name, inside in zip(BAND_NAMES, in_bands(snr), strict=True):
            if len(np.unique(unit[inside])) > 1:
                results[name].append(_ari(unit[inside], found[inside]))
    return {name: mean_or_nan(v) for name, v in results.items()}


def bound(snippets, known: KnownSpikes, seed=0) -> float:
    """Local ARI of a linear discriminant, each spike by one that was trained on the labels of others."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline

    scores = []
    for near in neighbourhoods_of(known):
        model = make_pipeline(
            PCA(min(64, len(near) // 4, snippets.shape[1]), random_state=seed), LinearDiscriminantAnalysis()
        )
        scores.append(_ari(known.unit[near], cross_val_predict(model, snippets[near], known.unit[near], cv=4)))
    return mean_or_nan(scores)


def in_bands(snr):
    """Which SNRs (n,) lie in each of `SNR_BANDS`."""
    return [(snr >= low) & (snr < high) for low, high in SNR_BANDS]


def band_name(band):
    """ "SNR 4 to 6"."""
    return f"SNR {band[0]:g} to {band[1]:g}" if np.isfinite(band[1]) else f"SNR above {band[0]:g}"


def mean_or_nan(values):
    """Mean of what isn't NaN; NaN where there is nothing."""
    values = np.asarray(values, dtype="float64")
    return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else float("nan")


BAND_NAMES = [f"local, {band_name(band)}" for band in SNR_BANDS]


def _ari(unit, found):
    from sklearn.metrics import adjusted_rand_score

    return adjusted_rand_score(unit, found)


def _project(x, n, seed):
    from sklearn.decomposition import PCA

    return PCA(n, random_state=seed).fit_transform(x) if x.shape[1] > n else x


def _fit(x, k, seed):
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(k, reg_covar=1e-3 * x.var(), random_state=seed).fit(x)


def _mixture(x, k, seed):
    x = _project(x, 24, seed)
    return _fit(x, k, seed).predict(x)


def _mixture_ari(x, unit, seed):
    return _ari(unit, _mixture(x, len(np.unique(unit)), seed))


def _thirds_ari(x, unit, sample_index, recording, seed):
    """Scores on the first and on the last third of a mixture fitted to the first, of units that fire in both."""
    third = recording.get_num_samples(0) / 3
    early, late = sample_index < third, sample_index >= 2 * third
    shared = np.intersect1d(unit[early], unit[late])
    early, late = early & np.isin(unit, shared), late & np.isin(unit, shared)
    if len(shared) < 2 or early.sum() < 10 * len(shared):
        return float("nan"), float("nan")
    x = _project(x, 24, seed)
    mixture = _fit(x[early], len(shared), seed)
    return _ari(unit[early], mixture.predict(x[early])), _ari(unit[late], mixture.predict(x[late]))


def _hdbscan_ari(x, unit, seed):
    from hdbscan import HDBSCAN

    clusterer = HDBSCAN(min_cluster_size=20, min_samples=5, core_dist_n_jobs=1)
    return _ari(unit, clusterer.fit_predict(_project(x, 8, seed)))
