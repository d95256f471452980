"""What speaks for two groups of spikes being one neuron's, in numbers that a network weighs.

Templates say how alike the groups are, trains whether they avoid or follow one another, and views, the features of some
spikes of each around one channel, whether single spikes can be told apart. All numbers are free of units, of the sizes
of features and of which group comes first: the one of the larger template does.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import pdtr

from huidurep_sorter.spikes.spike_trains import expected_violations, find_violations, pair_ratio


@dataclass(frozen=True, kw_only=True)
class EvidenceRules:
    """What is counted. The network was trained with these; another value needs another network."""

    burst_ms: tuple = (2.0, 20.0)  # ms after a spike in which a burst goes on (units-59)
    n_neighbours: int = 5  # of each spike, whose group is looked at (units-59)
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
EVIDENCE = (*OF_TEMPLATES, *OF_TRAINS, *OF_PLACE, *OF_VIEWS)


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
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    norms = np.linalg.norm(mean_x), np.linalg.norm(mean_y)
    spread_x = ((x - mean_x) ** 2).sum() / (len(x) - 1)
    spread_y = ((y - mean_y) ** 2).sum() / (len(y) - 1)
    spread = max(spread_x + spread_y, RULES.tiny)
    apart = ((mean_x - mean_y) ** 2).sum() - spread_x / len(x) - spread_y / len(y)
    return (
        separation(x, y),
        mean_x @ mean_y / max(norms[0] * norms[1], RULES.tiny),
        np.log(max(apart / spread, RULES.floor)),
        np.log(max(spread_x, spread_y, RULES.tiny) / max(min(spread_x, spread_y), RULES.tiny)),
        mixing(x, y),
        np.log(spread / max(norms[0] ** 2, RULES.tiny)),
    )


def separation(x, y):
    """Measure d' of two groups along the difference of the means of every other spike, of the spikes between."""
    found = []
    for half in (0, 1):
        along = x[half::2].mean(axis=0) - y[half::2].mean(axis=0)
        a, b = (z[1 - half :: 2] @ (along / max(np.linalg.norm(along), RULES.tiny)) for z in (x, y))
        found.append((a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2 + 1e-6 * (along @ along) + RULES.tiny))
    return np.clip(np.mean(found), -10.0, 10.0)


def mixing(x, y):
    """Measure how many of each spike's nearest are of the other group, over what chance explains."""
    both, is_y = np.concatenate([x, y]), np.repeat([False, True], [len(x), len(y)])
    squares = (both**2).sum(axis=1)
    away = squares[:, None] + squares - 2 * both @ both.T
    np.fill_diagonal(away, np.inf)
    k = min(RULES.n_neighbours, len(both) - 1)
    nearest = np.argpartition(away, k - 1, axis=1)[:, :k]
    share = (is_y[nearest] != is_y[:, None]).mean(axis=1)
    return np.mean(
        [share[is_y == group].mean() * (len(both) - 1) / n for group, n in ((False, len(y)), (True, len(x)))]
    )
