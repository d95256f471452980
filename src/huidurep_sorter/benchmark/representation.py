"""How well do features of spikes separate neurons? Known spikes, several features, the paper's test and harder ones.

- global: 10 units of the whole recording at once, as in the paper;
- local: the units within 60 um of each unit in turn, which is what a sorter must tell apart;
- late: local, the mixture fitted to the first third of the recording and scored on the last;
- local unknown K: HDBSCAN, which isn't told how many units there are.

All but the last are the adjusted Rand index of a full Gaussian mixture that is told how many. The bound is a linear
discriminant on the snippets, trained on the labels of other spikes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huidurep_sorter.ground_truth import at_most, main_channels, peaks_near

SNR_BANDS = ((4.0, 6.0), (6.0, 10.0), (10.0, np.inf))
RADIUS_UM = 60.0
MIN_SPIKES = 40


@dataclass(frozen=True, kw_only=True)
class KnownSpikes:
    """Preprocessed recording, and peaks (n,) with their unit (n,), the units' location (n, 2) and SNR (n,)."""

    recording: object
    peaks: np.ndarray
    unit: np.ndarray
    location_um: np.ndarray
    snr: np.ndarray


def read_known_spikes(folder, spikes_per_unit=200, seed=0) -> KnownSpikes:
    """Read `folder/recording` and `folder/sorting`, of one segment; units of too few spikes are left out."""
    from spikeinterface.core import load

    from huidurep_sorter.preprocessing import preprocess

    recording, sorting = load(Path(folder) / "recording"), load(Path(folder) / "sorting")
    if recording.get_num_segments() != 1:
        raise ValueError(f"{folder}: the benchmark takes recordings of one segment")
    whitened = preprocess(recording).save(format="memory", progress_bar=False, verbose=False)
    spikes = sorting.to_spike_vector()
    main = main_channels(whitened, spikes, len(sorting.unit_ids))
    inside = (spikes["sample_index"] > 200) & (spikes["sample_index"] < recording.get_num_samples(0) - 200)
    spikes = at_most(spikes[inside], spikes_per_unit, np.random.default_rng(seed))
    spikes = spikes[np.bincount(spikes["unit_index"], minlength=len(main))[spikes["unit_index"]] >= MIN_SPIKES]
    unit = spikes["unit_index"]
    peaks = peaks_near(whitened, spikes["sample_index"], main[unit], np.ones(len(unit), dtype=bool))
    snr = sorting.get_property("snr")
    if snr is None:
        traces = whitened.get_traces()
        depth = -traces[peaks["sample_index"], peaks["channel_index"]]
        snr = np.array([depth[unit == u].mean() if (unit == u).any() else 0.0 for u in range(len(main))])
    return KnownSpikes(
        recording=whitened,
        peaks=peaks,
        unit=unit,
        location_um=recording.get_channel_locations()[main[unit], :2],
        snr=np.asarray(snr, dtype="float64")[unit],
    )


def compute_features(known: KnownSpikes, names, seed=0) -> dict:
    """Features by name, each (n, n_features), and the snippets themselves as "snippets".

    Parameters
    ----------
    known : KnownSpikes
    names : list of str
        "pca" (32 components of the whole snippet), "svd" (SpikeInterface's, of each channel), or weights for
        `load_encoder`.
    """
    from sklearn.decomposition import PCA

    from huidurep_sorter.embedding import embed_spikes
    from huidurep_sorter.encoder import EncoderConfig
    from huidurep_sorter.features import svd_features
    from huidurep_sorter.snippets import find_neighbourhoods, iterate_snippets

    window = EncoderConfig().window
    snippets = np.empty((len(known.peaks), window.n_samples, 11), dtype="float32")
    for indices, piece in iterate_snippets(known.recording, known.peaks, window, find_neighbourhoods(known.recording)):
        snippets[indices] = piece
    flat = snippets.reshape(len(snippets), -1)
    out = {}
    for name in names:
        if name == "pca":
            out[name] = PCA(32, random_state=seed).fit_transform(flat)
        elif name == "svd":
            out[name] = svd_features(known.recording, known.peaks, seed, dict(n_jobs=1, progress_bar=False))
        else:
            out[name] = embed_spikes(known.recording, known.peaks, name, preprocess=False)
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
    results |= {k: [] for k in ("local", "late", "local unknown K", *map(_band_name, SNR_BANDS))}
    for near in neighbourhoods_of(known):
        x, unit, snr = features[near], known.unit[near], known.snr[near]
        found = _mixture(x, len(np.unique(unit)), seed)
        results["local"].append(_ari(unit, found))
        results["local unknown K"].append(_hdbscan_ari(x, unit, seed))
        results["late"].append(_late_ari(x, unit, known.peaks["sample_index"][near], known.recording, seed))
        for band in SNR_BANDS:
            inside = (snr >= band[0]) & (snr < band[1])
            if len(np.unique(unit[inside])) > 1:
                results[_band_name(band)].append(_ari(unit[inside], found[inside]))
    return {name: float(np.nanmean(v)) if len(v) else float("nan") for name, v in results.items()}


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
    return float(np.mean(scores))


def _band_name(band):
    return f"local, SNR {band[0]:g} to {band[1]:g}" if np.isfinite(band[1]) else f"local, SNR above {band[0]:g}"


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


def _late_ari(x, unit, sample_index, recording, seed):
    third = recording.get_num_samples(0) / 3
    early, late = sample_index < third, sample_index >= 2 * third
    shared = np.intersect1d(unit[early], unit[late])
    early, late = early & np.isin(unit, shared), late & np.isin(unit, shared)
    if len(shared) < 2 or early.sum() < 10 * len(shared):
        return float("nan")
    x = _project(x, 24, seed)
    return _ari(unit[late], _fit(x[early], len(shared), seed).predict(x[late]))


def _hdbscan_ari(x, unit, seed):
    from hdbscan import HDBSCAN

    clusterer = HDBSCAN(min_cluster_size=20, min_samples=5, core_dist_n_jobs=1)
    return _ari(unit, clusterer.fit_predict(_project(x, 8, seed)))
