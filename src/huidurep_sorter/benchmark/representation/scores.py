"""Score how well features of spikes separate neurons: with the test of the paper, and with harder ones.

- global: 10 units of the whole recording at once, as in the paper;
- local: the units within 60 um of each unit in turn, which is what a sorter must tell apart;
- early and late: local, with a mixture that is fitted to the first third of the recording. It is scored there (early)
  and on the last third (late);
- local unknown K: HDBSCAN, which isn't told how many units there are.

All scores are adjusted Rand indices. All but the last are those of a full Gaussian mixture that is told how many units
there are. The bound is the score of a linear discriminant on the snippets, which is trained on the labels of other
spikes.
"""

import numpy as np
from hdbscan import HDBSCAN
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from huidurep_sorter.benchmark.representation.known_spikes import KnownSpikes

SNR_BANDS = ((4.0, 6.0), (6.0, 10.0), (10.0, np.inf))
RADIUS_UM = 60.0
MIXTURE_COMPONENTS = 24
HDBSCAN_COMPONENTS = 8


def neighbourhoods_of(known: KnownSpikes):
    """Return the indices of the spikes of each unit and its neighbours, for units that have any."""
    out = []
    for unit in np.unique(known.unit):
        centre = known.location_um[known.unit == unit][0]
        near = np.flatnonzero(np.linalg.norm(known.location_um - centre, axis=1) <= RADIUS_UM)
        if len(np.unique(known.unit[near])) > 1:
            out.append(near)
    return out


def score(features, known: KnownSpikes, seed=0) -> dict:
    """Compute the scores by name.

    Each is a mean over neighbourhoods. The global one is a mean over 8 draws of 10 units.
    """
    units, rng = np.unique(known.unit), np.random.default_rng(seed)
    draws = [np.isin(known.unit, rng.choice(units, min(10, len(units)), replace=False)) for _ in range(8)]
    results = {"global": [_mixture_ari(features[d], known.unit[d], seed) for d in draws]}
    results |= {k: [] for k in ("local", "early", "late", "local unknown K", *BAND_NAMES)}
    for near in neighbourhoods_of(known):
        x, unit, snr = features[near], known.unit[near], known.snr[near]
        found = _mixture(x, len(np.unique(unit)), seed)
        results["local"].append(adjusted_rand_score(unit, found))
        results["local unknown K"].append(_hdbscan_ari(x, unit, seed))
        early, late = _thirds_ari(x, unit, known.peaks["sample_index"][near], known.recording, seed)
        results["early"].append(early)
        results["late"].append(late)
        for name, inside in zip(BAND_NAMES, in_bands(snr), strict=True):
            if len(np.unique(unit[inside])) > 1:
                results[name].append(adjusted_rand_score(unit[inside], found[inside]))
    return {name: mean_or_nan(v) for name, v in results.items()}


def bound(snippets, known: KnownSpikes, seed=0) -> float:
    """Compute the local score of a linear discriminant, which knows the labels of other spikes."""
    scores = []
    for near in neighbourhoods_of(known):
        n_components = min(64, len(near) // 4, snippets.shape[1])
        model = make_pipeline(PCA(n_components, random_state=seed), LinearDiscriminantAnalysis())
        predicted = cross_val_predict(model, snippets[near], known.unit[near], cv=4)
        scores.append(adjusted_rand_score(known.unit[near], predicted))
    return mean_or_nan(scores)


def in_bands(snr):
    """Tell which of the SNRs (n,) lie in each of `SNR_BANDS`."""
    return [(snr >= low) & (snr < high) for low, high in SNR_BANDS]


def band_name(band):
    """Name a band, as in "SNR 4 to 6"."""
    return f"SNR {band[0]:g} to {band[1]:g}" if np.isfinite(band[1]) else f"SNR above {band[0]:g}"


def mean_or_nan(values):
    """Average what isn't NaN. The mean of nothing is NaN."""
    values = np.asarray(values, dtype="float64")
    return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else float("nan")


BAND_NAMES = [f"local, {band_name(band)}" for band in SNR_BANDS]


def _project(x, n, seed):
    """Reduce features to their n largest components, if there are more."""
    return PCA(n, random_state=seed).fit_transform(x) if x.shape[1] > n else x


def _fit(x, k, seed):
    """Fit a mixture of k Gaussians."""
    return GaussianMixture(k, reg_covar=1e-3 * x.var(), random_state=seed).fit(x)


def _mixture(x, k, seed):
    """Cluster features by a mixture of k Gaussians."""
    x = _project(x, MIXTURE_COMPONENTS, seed)
    return _fit(x, k, seed).predict(x)


def _mixture_ari(x, unit, seed):
    """Score a mixture that is told how many units there are."""
    return adjusted_rand_score(unit, _mixture(x, len(np.unique(unit)), seed))


def _thirds_ari(x, unit, sample_index, recording, seed):
    """Score a mixture that is fitted to the first third, on that third and on the last one.

    Only units that fire in both are used. The scores are NaN where there is only one, or where there are few spikes.
    """
    third = recording.get_num_samples(0) / 3
    early, late = sample_index < third, sample_index >= 2 * third
    shared = np.intersect1d(unit[early], unit[late])
    early, late = early & np.isin(unit, shared), late & np.isin(unit, shared)
    if len(shared) < 2 or early.sum() < 10 * len(shared):
        return float("nan"), float("nan")
    x = _project(x, MIXTURE_COMPONENTS, seed)
    mixture = _fit(x[early], len(shared), seed)
    return tuple(adjusted_rand_score(unit[part], mixture.predict(x[part])) for part in (early, late))


def _hdbscan_ari(x, unit, seed):
    """Score HDBSCAN, which isn't told how many units there are."""
    clusterer = HDBSCAN(min_cluster_size=20, min_samples=5, core_dist_n_jobs=1)
    return adjusted_rand_score(unit, clusterer.fit_predict(_project(x, HDBSCAN_COMPONENTS, seed)))
