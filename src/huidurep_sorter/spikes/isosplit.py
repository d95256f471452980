"""Isosplit (https://arxiv.org/abs/1508.04841): clusters, their number unknown, told apart by gaps between them.

Many small clusters are made, and pairs of near ones are projected on the line that separates them best. Where the
density on it has no dip, they are merged; so the number of clusters is found.

These are the steps of SpikeInterface's version, with the same labels as a result. That one is compiled as a whole, for
20 s in every new environment; here NumPy does all but the innermost loop, which is SpikeInterface's (sorters-38).
"""

import warnings

import numpy as np
from scipy.cluster.vq import kmeans2
from spikeinterface.sortingcomponents.clustering import isosplit_isocut

from huidurep_sorter.runtime import keep_compiled


def split_at_dips(x, n_init, min_cluster_size, threshold, seed, max_iterations=500):
    """Cluster points.

    Parameters
    ----------
    x : (n, d) float64
    n_init : int
        Clusters to begin with; fewer of few points.
    min_cluster_size : int
        A smaller cluster is merged with its nearest one.
    threshold : float
        Dip from which two clusters are kept apart.
    seed : int
        Of the first clusters.
    max_iterations : int, default: 500
        Limit of the iterations in a pass.

    Returns
    -------
    labels : (n,) int64
        0 to n_clusters - 1.
    """
    keep_compiled(isosplit_isocut)
    clusters = Clusters(x, first_labels(x, n_init, min_cluster_size, seed))
    merged_before = False
    while True:
        merged, changed = run_pass(clusters, min_cluster_size, threshold, max_iterations)
        clusters.compare_again(changed)
        if not merged and not merged_before:
            return number(clusters.labels)
        merged_before = merged  # after merges, one pass without any redistributes points once more


def first_labels(x, n_init, min_cluster_size, seed):
    """Cluster points by k-means, whose empty clusters don't count."""
    if n_init > len(x) // min_cluster_size:
        n_init = max(1, len(x) // (2 * min_cluster_size))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        return number(kmeans2(x, n_init, minit="points", seed=seed)[1])


def number(labels):
    """Number labels 0 to n_clusters - 1."""
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


class Clusters:
    """Points and their labels, and of each cluster what a comparison needs.

    Attributes
    ----------
    x : (n, d) float64
    labels : (n,) int64
    is_active : (n_clusters,) bool
        False for a cluster that was merged into another.
    are_compared : (n_clusters, n_clusters) bool
        In this pass.
    centroids : (n_clusters, d) float64
    covariances : (n_clusters, d, d) float64
        The diagonal counts twice, as it does in SpikeInterface's version.
    """

    def __init__(self, x, labels):
        n_clusters, d = labels.max() + 1, x.shape[1]
        self.x, self.labels = x, labels
        self.is_active, self.are_compared = np.ones(n_clusters, dtype=bool), np.eye(n_clusters, dtype=bool)
        self.centroids, self.covariances = np.zeros((n_clusters, d)), np.zeros((n_clusters, d, d))
        self.measure(np.arange(n_clusters))

    def measure(self, which):
        """Compute centroids and covariances of some clusters."""
        for label in which:
            here = self.x[self.labels == label]
            n = max(len(here), 1)  # one that lost all its points has zeros
            self.centroids[label] = here.sum(axis=0) / n
            centered = here - self.centroids[label]
            self.covariances[label] = centered.T @ centered / n
            self.covariances[label].flat[:: self.x.shape[1] + 1] *= 2

    def nearest_pairs(self):
        """List pairs (a, b), a < b, of clusters that are each other's nearest of those not yet compared."""
        distances = np.linalg.norm(self.centroids[:, None] - self.centroids, axis=-1)
        distances[self.are_compared | ~self.is_active | ~self.is_active[:, None]] = np.inf
        nearest = distances.argmin(axis=1)
        return [(a, b) for a, b in enumerate(nearest) if a < b and nearest[b] == a and distances[a, b] < np.inf]

    def compare_again(self, changed):
        """Let clusters that have changed be compared in the next pass."""
        again = self.is_active & changed
        self.are_compared[again] = False
        self.are_compared[:, again] = False
        np.fill_diagonal(self.are_compared, True)


def run_pass(clusters, min_cluster_size, threshold, max_iterations):
    """Compare all pairs once, nearest first; say whether any were merged, and which clusters have changed."""
    n_before, changed_in_pass = clusters.is_active.sum(), np.zeros(len(clusters.is_active), dtype=bool)
    for _ in range(max_iterations):
        pairs = clusters.nearest_pairs()
        if not pairs:
            break
        changed = np.zeros_like(changed_in_pass)
        for a, b in pairs:
            clusters.are_compared[a, b] = clusters.are_compared[b, a] = True
            changed[[a, b]] = compare(clusters, a, b, min_cluster_size, threshold)
        clusters.measure(np.flatnonzero(changed & clusters.is_active))
        changed_in_pass |= changed
    return clusters.is_active.sum() < n_before, changed_in_pass


def compare(clusters, a, b, min_cluster_size, threshold):
    """Merge two clusters, exchange points between them or leave them; say whether they have changed.

    Points that lie on the side of the other cluster are exchanged only while they are the fewer ones. As in
    SpikeInterface's version, that is asked of the wrong sides, so that hardly any are.
    """
    first, second = np.flatnonzero(clusters.labels == a), np.flatnonzero(clusters.labels == b)
    if not first.size or not second.size:
        return False
    if min(first.size, second.size) >= min_cluster_size:
        projected = project_between(clusters, a, b, np.concatenate([first, second]))
        dip, cut = find_dip(np.sort(projected))
        if dip >= threshold:
            is_below = projected < cut
            to_b, to_a = first[is_below[: first.size]], second[~is_below[first.size :]]
            if to_b.size / first.size + to_a.size / second.size >= 1:
                return False
            clusters.labels[to_b], clusters.labels[to_a] = b, a
            return to_b.size + to_a.size > 0
    clusters.labels[second] = a
    clusters.is_active[b] = False
    return True


def project_between(clusters, a, b, which):
    """Project points on the line that separates two clusters best, were they Gaussian, (n,) float64."""
    covariance = (clusters.covariances[a] + clusters.covariances[b]) / 2
    direction = np.linalg.inv(covariance) @ (clusters.centroids[b] - clusters.centroids[a])
    return clusters.x[which] @ (direction / np.linalg.norm(direction))


def find_dip(values):
    """Measure the dip of a density, and where it is lowest.

    Parameters
    ----------
    values : (n,) float64
        Sorted.

    Returns
    -------
    dip : float
        By how much the density differs from the nearest one that rises once and falls once.
    cut : float
    """
    spacings = np.diff(values)
    logs = np.full(len(spacings), np.log(1e-9))  # equal values have no density; SpikeInterface's number
    logs[spacings > 0] = np.log(1.0 / spacings[spacings > 0])
    fit = fit_unimodal(logs)
    mass, peak = np.exp(fit) * spacings, fit.argmax()
    left, n_left = compare_masses(mass[: peak + 1])
    right, n_right = compare_masses(mass[peak:][::-1])
    part = slice(0, n_left) if left > right else slice(len(mass) - n_right, len(mass))
    lowest = part.start + (-fit_unimodal(fit[part] - logs[part])).argmin()
    return max(left, right), (values[lowest] + values[lowest + 1]) / 2


def compare_masses(mass):
    """Compare the mass between neighbouring points with an even one, from one end: the largest KS score, and where.

    Of the first n points, half of them, a quarter and so on, those count that differ most.
    """
    best, n_best, n = -np.inf, len(mass), len(mass)
    summed, counts = np.cumsum(mass), np.arange(1.0, n + 1)
    while n >= 4 or n == len(mass):
        total = summed[n - 1]
        score = np.abs(counts[:n] / n - summed[:n] / total).max() * np.sqrt((n + total) / 2)
        if score > best:
            best, n_best = score, n
        n //= 2
    return best, n_best


def fit_unimodal(values):
    """Fit values by ones that rise and then fall, by least squares."""
    _, errors = fit_rising(values)
    _, errors_behind = fit_rising(values[::-1])
    turn = (errors + errors_behind[::-1]).argmin()
    return np.concatenate([fit_rising(values[:turn])[0], -fit_rising(-values[turn:])[0]])


def fit_rising(values):
    """Fit values by ones that never fall; also the squared error of the fit up to each."""
    if not len(values):
        return values, values
    return isosplit_isocut.jisotonic5(np.ascontiguousarray(values), np.ones(len(values)))
