"""Clusters of spikes, their number unknown, on features and position together.

Spikes that peak on one channel are clustered by themselves: so no cluster reaches across shanks, features need only
compare around one place, and the work grows with the number of channels, not with its square. Clusters can then be
halved, whether they look like two or not. Units that were cut, or that peak on two channels, come together again when
their templates are compared; a mixture of two units doesn't.
"""

import numpy as np

from huidurep_sorter.runtime import keep_compiled

N_COMPONENTS = 16
POSITION_UM = 20.0
MAX_OFFSET_UM = 60.0
MAX_DEPTH = 3
ISOCUT_THRESHOLD = 1.5  # splits readily: what is one unit is merged again by template
MAX_MIXTURE = 12
N_HALVING_COMPONENTS = 8


def cluster_spikes(features, positions_um, peaks, *, method="isosplit", min_cluster_size=20, seed=0):
    """Cluster spikes channel by channel.

    Parameters
    ----------
    features : (n_peaks, n_features) float32
    positions_um : (n_peaks, 2) float32
    peaks : structured array (n_peaks,)
    method : "isosplit" | "hdbscan" | "gmm", default: "isosplit"
    min_cluster_size : int, default: 20
    seed : int, default: 0

    Returns
    -------
    labels : (n_peaks,) int64
        0 to n_clusters - 1; -1 for a spike in no cluster.
    """
    if method not in _METHODS:
        raise ValueError(f"clustering_method must be one of {sorted(_METHODS)}, not {method!r}")
    labels = np.full(len(peaks), -1, dtype="int64")
    n_clusters = 0
    for channel in np.unique(peaks["channel_index"]):
        here = np.flatnonzero(peaks["channel_index"] == channel)
        if here.size < min_cluster_size:
            continue
        local = split_recursively(features[here], positions_um[here], method, min_cluster_size, seed)
        labels[here[local >= 0]] = local[local >= 0] + n_clusters
        n_clusters += local.max() + 1
    return labels


def split_recursively(features, positions_um, method, min_cluster_size, seed, depth=0):
    """Labels (n,) of the spikes of one place: split, project each part anew, split again; -1 is none."""
    x = project(features, positions_um)
    first = drop_small(_METHODS[method](x, min_cluster_size, seed), min_cluster_size)
    parts = [np.flatnonzero(first == k) for k in range(first.max() + 1)]
    if len(parts) <= 1:
        return np.zeros(len(features), dtype="int64")
    if depth + 1 >= MAX_DEPTH or method == "gmm":
        return first
    labels = np.full(len(features), -1, dtype="int64")
    n_clusters = 0
    for part in parts:
        if part.size < 2 * min_cluster_size:
            local = np.zeros(part.size, dtype="int64")
        else:
            local = split_recursively(features[part], positions_um[part], method, min_cluster_size, seed, depth + 1)
        labels[part[local >= 0]] = local[local >= 0] + n_clusters
        n_clusters += local.max() + 1
    return labels


def halve(labels, features, positions_um, min_cluster_size=20, seed=0):
    """Cut each cluster of at least twice the smallest size in two, by a mixture of two Gaussians of one shape.

    Parameters
    ----------
    labels : (n_peaks,) int64
        -1 for a spike in no cluster.
    features : (n_peaks, n_features) float32
    positions_um : (n_peaks, 2) float32
    min_cluster_size : int, default: 20
        No cluster is cut into pieces of less than half of this.
    seed : int, default: 0

    Returns
    -------
    labels : (n_peaks,) int64
    """
    from sklearn.mixture import GaussianMixture

    out, n_clusters = labels.copy(), labels.max(initial=-1) + 1
    for label in range(n_clusters):
        here = np.flatnonzero(labels == label)
        if here.size < 2 * min_cluster_size:
            continue
        x = project(features[here], positions_um[here])[:, :N_HALVING_COMPONENTS]
        mixture = GaussianMixture(2, covariance_type="tied", reg_covar=1e-3 * x.var(), n_init=2, random_state=seed)
        second = mixture.fit_predict(x) == 1
        if min(second.sum(), (~second).sum()) >= min_cluster_size // 2:
            out[here[second]] = out.max() + 1
    return out


def project(features, positions_um, n_components=N_COMPONENTS):
    """Main components of the features beside the position, (n, d) float64.

    A position `POSITION_UM` away counts as much as a typical step along a component.
    """
    x = (features - features.mean(axis=0)).astype("float64")
    energy, vectors = np.linalg.eigh(x.T @ x)
    main = np.flatnonzero(energy > 1e-6 * energy[-1])[::-1][:n_components]
    components = x @ vectors[:, main]
    step = np.sqrt((components**2).mean()) if main.size else 1.0
    offset = np.clip(positions_um - np.median(positions_um, axis=0), -MAX_OFFSET_UM, MAX_OFFSET_UM)
    columns = np.column_stack([components, offset[:, offset.std(axis=0) > 1e-3] * (step / POSITION_UM)])
    jitter = np.random.default_rng(0).normal(size=columns.shape)  # equal spikes would make a covariance singular
    return columns + 1e-3 * step * jitter


def drop_small(labels, min_size):
    """Labels 0 to k - 1 of the clusters of at least `min_size`, -1 for the others."""
    kept, counts = np.unique(labels[labels >= 0], return_counts=True)
    kept = kept[counts >= min_size]
    out = np.full(len(labels), -1, dtype="int64")
    for new, old in enumerate(kept):
        out[labels == old] = new
    return out


def _isosplit(x, min_cluster_size, seed):
    from spikeinterface.sortingcomponents.clustering import isosplit_isocut

    keep_compiled(isosplit_isocut)
    n_init = int(np.clip(len(x) // (2 * min_cluster_size), 2, 15))
    return isosplit_isocut.isosplit(x, n_init=n_init, min_cluster_size=10, isocut_threshold=ISOCUT_THRESHOLD, seed=seed)


def _hdbscan(x, min_cluster_size, seed):
    from hdbscan import HDBSCAN

    return HDBSCAN(min_cluster_size=min_cluster_size, min_samples=5, core_dist_n_jobs=1).fit_predict(x)


def _gmm(x, min_cluster_size, seed):
    """The Gaussian mixture of the paper; the number of components is the one of least BIC."""
    from sklearn.mixture import GaussianMixture

    best, best_bic = None, np.inf
    for k in range(1, min(MAX_MIXTURE, len(x) // min_cluster_size) + 1):
        mixture = GaussianMixture(k, random_state=seed, reg_covar=1e-6).fit(x)
        bic = mixture.bic(x)
        if bic < best_bic:
            best, best_bic = mixture, bic
    return best.predict(x)


_METHODS = {"isosplit": _isosplit, "hdbscan": _hdbscan, "gmm": _gmm}
