"""What speaks for two groups of spikes being one neuron's, in numbers that a network weighs.

Templates say how alike the groups are, trains whether they avoid or follow one another, and views, the features of some
spikes of each around one channel, whether single spikes can be told apart. All numbers are free of units, of the sizes
of features and of which group comes first: the one of the larger template does.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.special import pdtr

from huidurep_sorter.spikes.spike_trains import expected_violations, find_violations, pair_ratio


@dataclass(frozen=True, kw_only=True)
class EvidenceRules:
    """What is counted. The network was trained with these; another value needs another network."""

    burst_ms: tuple = (2.0, 20.0)  # ms after a spike in which a burst goes on (units-59)
    n_neighbours: int = 5  # of each spike, whose group is looked at (units-59)
    max_separation: float = 10.0  # standard deviations; a limit: more says nothing more
    least_chance: float = 1e-12  # of so few pairs; a limit: what is less says nothing more
    tiny: float = 1e-30  # a limit: against a division by zero
    floor: float = 1e-4  # of a share; a limit: what is less says nothing more


RULES = EvidenceRules()


OF_TEMPLATES = (
    "template_difference",  # norm of the difference over that of the larger template
    "log_norm",  # of the larger template, in units of noise
    "log_norm_ratio",
    "cosine",
    "log_difference",  # energy of the difference, in units of noise
    "log_noise",  # energy that noise adds to the difference
    "lag_ms",
    "log_n_spikes_of_smaller",
    "log_n_spikes_of_larger",
    "log_n_channels",
)
OF_TRAINS = (
    "log_expected_pairs",  # within the refractory period, of independent neurons
    "log_pair_ratio",  # those seen, over those expected
    "log_chance",  # probability of so few pairs, if independent
    "largest_violations",  # of one group by itself, over those of a Poisson process, logarithm
    "smallest_violations",
    "joint_violations",  # of both groups together
    "log_following",  # spikes of the smaller template soon after one of the larger, over chance
    "log_leading",  # soon before one of it
    "presence_overlap",  # 1: active in the same stretches as if independent; 0: in turns
)
OF_PLACE = ("log_distance",)  # um between the centres of mass of both templates' energy, and 1
OF_VIEWS = (
    "separation",  # d' along the difference of means, of spikes that the difference was not taken from
    "cosine_of_means",
    "log_distance_of_means",  # squared, over the spread of both groups
    "log_spread_ratio",
    "mixing",  # neighbours of the other group over those that chance explains: 1 for one cloud
    "log_relative_spread",  # over the squared norm of the means
)
OF_ORIGIN = ("are_parts",)  # 1: one unit was cut in two where its spikes differ most, so these differ; 0: as found
EVIDENCE = (*OF_TEMPLATES, *OF_TRAINS, *OF_PLACE, *OF_VIEWS, *OF_ORIGIN)


def compare_templates(difference, energies, n_spikes, n_values, lag_ms, n_channels):
    """Give `OF_TEMPLATES` of a pair whose first template is the larger.

    Parameters
    ----------
    difference : float
        Norm of the difference over that of the larger.
    energies : (2,) float
        In units of noise; the larger first.
    n_spikes : (2,) int
    n_values : int
        Of a template.
    lag_ms : float
    n_channels : int
        On which the larger template is looked at.
    """
    large, small = np.maximum(energies, 1.0)
    product = (large + small - difference**2 * large) / 2
    return (
        difference,
        np.log(large) / 2,
        np.log(small / large) / 2,
        product / np.sqrt(large * small),
        np.log(max(difference**2 * large, 1.0)),
        np.log(n_values * np.sum(1 / np.asarray(n_spikes))),
        abs(lag_ms),
        np.log(min(n_spikes)),
        np.log(max(n_spikes)),
        np.log(n_channels),
    )


def compare_trains(large, small, presence, sampling_frequency, n_samples):
    """Give `OF_TRAINS` of a pair of trains, each (n,) int64 ascending, of a recording of so many samples.

    `presence` (2, n_bins) counts the spikes of each in stretches of the recording.
    """
    ratio, expected = pair_ratio(large, small, sampling_frequency, n_samples)
    seen = ratio * expected
    own = [violations(train, sampling_frequency, n_samples) for train in (large, small)]
    together = violations(np.sort(np.concatenate([large, small])), sampling_frequency, n_samples)
    start, stop = (ms * sampling_frequency / 1000 for ms in RULES.burst_ms)
    by_chance = len(large) * len(small) * (stop - start) / n_samples
    following, leading = (
        np.log((count_after(*trains, start, stop) + 1) / (by_chance + 1)) for trains in ((large, small), (small, large))
    )
    shares = presence / np.maximum(presence.sum(axis=1, keepdims=True), 1)
    return (
        np.log(expected + 0.5),
        np.log((seen + 0.5) / (expected + 0.5)),
        np.log(max(pdtr(seen, max(expected, RULES.tiny)), RULES.least_chance)),
        max(own),
        min(own),
        together,
        following,
        leading,
        shares[0] @ shares[1] * presence.shape[1],
    )


def violations(train, sampling_frequency, n_samples):
    """Give the logarithm of a train's refractory violations over those of a Poisson process; half a pair each added."""
    seen = len(find_violations(train, sampling_frequency))
    return np.log((seen + 0.5) / (expected_violations(len(train), sampling_frequency, n_samples) + 0.5))


def count_after(train, other, start, stop):
    """Count the pairs of a spike of one train and one of another that comes `start` to `stop` samples after it."""
    return (np.searchsorted(other, train + stop) - np.searchsorted(other, train + start)).sum()


def compare_views(x, y):
    """Give `OF_VIEWS` of the features of two groups' spikes around one channel, (n, n_features) each, n > 1."""
    return measure_views(x, y, RULES.n_neighbours, RULES.max_separation, RULES.floor, RULES.tiny)


@njit(cache=True, nogil=True)
def measure_views(x, y, n_neighbours, most, floor, tiny):
    """Do what `compare_views` says; compiled, as there are some ten pairs to each group."""
    mean_x, mean_y = mean_of(x, 0, 1), mean_of(y, 0, 1)
    spread_x, spread_y = spread_of(x, mean_x), spread_of(y, mean_y)
    spread = max(spread_x + spread_y, tiny)
    norm_x, norm_y, product, apart = 0.0, 0.0, 0.0, -spread_x / len(x) - spread_y / len(y)
    for k in range(x.shape[1]):
        norm_x += mean_x[k] ** 2
        norm_y += mean_y[k] ** 2
        product += mean_x[k] * mean_y[k]
        apart += (mean_x[k] - mean_y[k]) ** 2
    return (
        min(max((separation(x, y, 0, tiny) + separation(x, y, 1, tiny)) / 2, -most), most),
        product / max(np.sqrt(norm_x * norm_y), tiny),
        np.log(max(apart / spread, floor)),
        np.log(max(spread_x, spread_y, tiny) / max(min(spread_x, spread_y), tiny)),
        mixing(x, y, n_neighbours),
        np.log(spread / max(norm_x, tiny)),
    )


@njit(cache=True, nogil=True)
def mean_of(x, first, step):
    """Average every `step`-th row from the first on."""
    mean, n = np.zeros(x.shape[1]), 0
    for row in range(first, len(x), step):
        mean += x[row]
        n += 1
    return mean / max(n, 1)


@njit(cache=True, nogil=True)
def spread_of(x, mean):
    """Add up the variances of all columns."""
    total = 0.0
    for row in range(len(x)):
        for k in range(x.shape[1]):
            total += (x[row, k] - mean[k]) ** 2
    return total / (len(x) - 1)


@njit(cache=True, nogil=True)
def separation(x, y, half, tiny):
    """Measure d' of two groups along the difference of the means of every other spike, of the spikes between."""
    along = mean_of(x, half, 2) - mean_of(y, half, 2)
    length = np.sqrt((along**2).sum())
    means, variances = np.zeros(2), np.zeros(2)
    for group, z in enumerate((x, y)):
        n = 0
        for row in range(1 - half, len(z), 2):
            value = (z[row] * along).sum() / max(length, tiny)
            means[group] += value
            variances[group] += value**2
            n += 1
        means[group] /= max(n, 1)
        variances[group] = max(variances[group] / max(n, 1) - means[group] ** 2, 0.0)
    spread = np.sqrt((variances[0] + variances[1]) / 2 + 1e-6 * length**2 + tiny)
    return (means[0] - means[1]) / spread


@njit(cache=True, nogil=True)
def mixing(x, y, n_neighbours):
    """Measure how many of each spike's nearest are of the other group, over what chance explains."""
    n_x, n = len(x), len(x) + len(y)
    both, k = np.concatenate((x, y)), min(n_neighbours, n - 1)
    shares, nearest, whose = np.zeros(2), np.empty(k), np.empty(k, dtype=np.int64)
    for row in range(n):
        nearest[:] = np.inf
        for other in range(n):
            away = ((both[row] - both[other]) ** 2).sum()
            if other == row or away >= nearest[k - 1]:
                continue
            place = k - 1
            while place > 0 and nearest[place - 1] > away:
                nearest[place], whose[place] = nearest[place - 1], whose[place - 1]
                place -= 1
            nearest[place], whose[place] = away, other
        crossed = 0
        for index in whose:
            crossed += (index >= n_x) != (row >= n_x)
        shares[int(row >= n_x)] += crossed / k
    return (shares[0] / n_x * (n - 1) / len(y) + shares[1] / len(y) * (n - 1) / n_x) / 2
