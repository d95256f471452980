"""Clusters of spikes, their number unknown, on features and position together.

Spikes that peak on one channel are clustered by themselves: so no cluster reaches across shanks, features need only
compare around one place, and the work grows with the number of channels, not with its square. Clusters are then
bisected, whether they look like two or not. Units that were cut, or that peak on two channels, come together again when
their templates are compared; a mixture of two units doesn't (spikes-1).

Another method is another function in `CLUSTERERS`; parameters, help and documentation read its name from there.
"""

import logging
from dataclasses import dataclass

import numpy as np
from hdbscan import HDBSCAN
from scipy.sparse.csgraph import connected_components
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors, radius_neighbors_graph

from huidurep_sorter.runtime import stage
from huidurep_sorter.spikes.isosplit import split_at_dips
from huidurep_sorter.spikes.spikes import Spikes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClusteringRules:
    """How readily spikes are split, and what counts in it."""

    n_components: int = 16  # principal components of the features of one place that are clustered (spikes-21)
    position_um: float = 20.0  # um; so far away counts as much as a typical step along a component (spikes-4)
    max_depth: int = 3  # splits within splits (spikes-22)
    isocut_threshold: float = 1.5  # dip; splits readily: what is one unit is merged again (spikes-2, spikes-3)
    min_spikes_of_rare: int = 5  # spikes of a cluster, at least; of so few its template must be large (spikes-24)
    island_radius: float = 1.5  # of the typical distance to the third neighbour: a gap around an island (spikes-24)
    island_neighbour: int = 3  # the neighbour whose distance is typical (spikes-24)
    isosplit_min_cluster_size: int = 10  # spikes; isosplit's own limit while it works (spikes-22)
    hdbscan_min_samples: int = 5  # spikes; HDBSCAN's default for small data
    min_isosplit_starts: int = 2  # random starts of isosplit; a limit of time from below
    max_isosplit_starts: int = 15  # a limit of time from above; in between they grow with the spikes
    max_mixture: int = 12  # Gaussians that the mixture may have on one channel; a limit of time
    n_bisections: int = 2  # times that each cluster is cut in two (spikes-7)
    n_bisection_starts: int = 2  # random starts of the mixture that bisects (spikes-22)
    min_share_of_bisection: float = 0.5  # of the smallest cluster, that each part must have (spikes-22)
    bisection_regularization: float = 1e-3  # of the variance; a limit: equal spikes have no covariance
    tiny: float = 1e-12  # of the variance; a limit: equal points have none
    mixture_regularization: float = 1e-6  # of the mixture by BIC; a limit for the same reason
    min_energy_of_component: float = 1e-6  # of the largest; a limit: what is below is rounding
    jitter: float = 1e-3  # of a step; a limit: equal spikes would make a covariance singular
    n_bisection_components: int = 8  # of the components, those that a bisection looks at (spikes-21)


RULES = ClusteringRules()


@stage("cluster")
def find_clusters(spikes, parameters) -> Spikes:
    """Label spikes: split readily; templates merge what is one unit later.

    Parameters
    ----------
    spikes : Spikes
        With features and positions.
    parameters : SortingParameters
        `clustering_method`, `min_cluster_size` and `seed` are used.
    """
    size, seed = parameters.min_cluster_size, parameters.seed
    spikes = cluster_spikes(spikes, parameters.clustering_method, size, seed)
    for _ in range(RULES.n_bisections):
        spikes = bisect_clusters(spikes, size, seed)
    spikes = split_islands(spikes)
    logger.info("%d of %d spikes in %d clusters", (spikes.label >= 0).sum(), len(spikes), spikes.n_units)
    return spikes


def cluster_spikes(spikes, method="isosplit", min_cluster_size=20, seed=0) -> Spikes:
    """Cluster spikes channel by channel.

    Parameters
    ----------
    spikes : Spikes
        With features and positions.
    method : str, default: "isosplit"
        One of `CLUSTERERS`.
    min_cluster_size : int, default: 20
    seed : int, default: 0

    Returns
    -------
    spikes : Spikes
        Labels 0 to n_clusters - 1; -1 for a spike in no cluster. Clusters of fewer spikes than `min_cluster_size`,
        down to `min_spikes_of_rare`, are kept: their templates decide.
    """
    if method not in CLUSTERERS:
        raise ValueError(f"clustering_method must be one of {sorted(CLUSTERERS)}, not {method!r}")
    labels = np.full(len(spikes), -1, dtype="int64")
    n_clusters = 0
    for channel in np.unique(spikes.channel_index):
        here = np.flatnonzero(spikes.channel_index == channel)
        if here.size < RULES.min_spikes_of_rare:
            continue
        local = split_recursively(spikes.features[here], spikes.positions_um[here], method, min_cluster_size, seed)
        labels[here[local >= 0]] = local[local >= 0] + n_clusters
        n_clusters += local.max() + 1
    return spikes.relabelled(labels)


def split_recursively(features, positions_um, method, min_cluster_size, seed, depth=0):
    """Split the spikes of one place, project each part anew, split again; labels (n,), -1 is none."""
    if len(features) < min_cluster_size:
        return np.zeros(len(features), dtype="int64")
    x = project(features, positions_um)
    first = drop_small(CLUSTERERS[method](x, min_cluster_size, seed), RULES.min_spikes_of_rare)
    parts = [np.flatnonzero(first == k) for k in range(first.max() + 1)]
    if len(parts) <= 1:
        return np.zeros(len(features), dtype="int64")
    if depth + 1 >= RULES.max_depth or method == "gmm":
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


def bisect_clusters(spikes, min_cluster_size=20, seed=0) -> Spikes:
    """Cut each cluster of at least twice the smallest size in two, by a mixture of two Gaussians of one shape.

    Small units whose spikes a clustering leaves together with others come apart (spikes-6, spikes-7).

    Parameters
    ----------
    spikes : Spikes
        With features and positions.
    min_cluster_size : int, default: 20
        No cluster is cut into pieces of less than half of this.
    seed : int, default: 0
    """
    labels = spikes.label.copy()
    for label in range(spikes.n_units):
        here = np.flatnonzero(spikes.label == label)
        if here.size < 2 * min_cluster_size:
            continue
        x = project(spikes.features[here], spikes.positions_um[here])[:, : RULES.n_bisection_components]
        second = fit_two_gaussians(x, seed).predict(x) == 1
        if min(second.sum(), (~second).sum()) >= int(RULES.min_share_of_bisection * min_cluster_size):
            labels[here[second]] = labels.max() + 1
    return spikes.relabelled(labels)


def fit_two_gaussians(x, seed=0, means=None):
    """Fit a mixture of two Gaussians of one shape to points (n, d), from means (2, d) where they are known."""
    return GaussianMixture(
        2,
        covariance_type="tied",
        reg_covar=max(RULES.bisection_regularization * x.var(), RULES.tiny),
        n_init=RULES.n_bisection_starts if means is None else 1,
        means_init=means,
        random_state=seed,
    ).fit(x)


def split_islands(spikes) -> Spikes:
    """Take islands out of clusters: few spikes with a gap around them, which no split into large parts finds.

    A neuron that fires rarely is such an island among the spikes of others. Islands of one unit merge again when their
    templates are compared.
    """
    labels = spikes.label.copy()
    for label in range(spikes.n_units):
        here = np.flatnonzero(spikes.label == label)
        if here.size <= 2 * RULES.min_spikes_of_rare:
            continue
        x = project(spikes.features[here], spikes.positions_um[here])
        distances, _ = NearestNeighbors(n_neighbors=RULES.island_neighbour).fit(x).kneighbors()
        radius = RULES.island_radius * np.median(distances[:, -1])
        _, island = connected_components(radius_neighbors_graph(x, radius), directed=False)
        sizes = np.bincount(island)
        sizes[sizes.argmax()] = 0  # the main land
        for part in np.flatnonzero(sizes >= RULES.min_spikes_of_rare):
            labels[here[island == part]] = labels.max() + 1
    return spikes.relabelled(labels)


def project(features, positions_um, n_components=RULES.n_components):
    """Put the main components of the features beside the position, (n, d) float64.

    A position `position_um` away counts as much as a typical step along a component.
    """
    x = (features - features.mean(axis=0)).astype("float64")
    energy, vectors = np.linalg.eigh(x.T @ x)
    main = np.flatnonzero(energy > RULES.min_energy_of_component * energy[-1])[::-1][:n_components]
    components = x @ vectors[:, main]
    step = np.sqrt((components**2).mean()) if main.size else 1.0
    offset = positions_um - np.median(positions_um, axis=0)
    columns = np.column_stack([components, offset[:, offset.std(axis=0) > 1e-3] * (step / RULES.position_um)])
    jitter = np.random.default_rng(0).normal(size=columns.shape)
    return columns + RULES.jitter * step * jitter


def drop_small(labels, min_size):
    """Number the clusters of at least `min_size` 0 to k - 1, and give -1 to the others."""
    kept, counts = np.unique(labels[labels >= 0], return_counts=True)
    kept = kept[counts >= min_size]
    out = np.full(len(labels), -1, dtype="int64")
    for new, old in enumerate(kept):
        out[labels == old] = new
    return out


def isosplit(x, min_cluster_size, seed):
    """Split where a dip test finds a gap, by isosplit."""
    n_init = int(np.clip(len(x) // (2 * min_cluster_size), RULES.min_isosplit_starts, RULES.max_isosplit_starts))
    return split_at_dips(x, n_init, RULES.isosplit_min_cluster_size, RULES.isocut_threshold, seed)


def hdbscan(x, min_cluster_size, seed):
    """Cluster by density, by HDBSCAN; it needs no seed."""
    clusterer = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=RULES.hdbscan_min_samples, core_dist_n_jobs=1)
    return clusterer.fit_predict(x)


def gaussian_mixture(x, min_cluster_size, seed):
    """Fit the Gaussian mixture of the paper; the number of components is the one of least BIC."""
    best, best_bic = None, np.inf
    for k in range(1, min(RULES.max_mixture, len(x) // min_cluster_size) + 1):
        mixture = GaussianMixture(k, random_state=seed, reg_covar=RULES.mixture_regularization).fit(x)
        bic = mixture.bic(x)
        if bic < best_bic:
            best, best_bic = mixture, bic
    return best.predict(x)


CLUSTERERS = {"isosplit": isosplit, "hdbscan": hdbscan, "gmm": gaussian_mixture}
