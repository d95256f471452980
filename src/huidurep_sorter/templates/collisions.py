"""Units that are two others' spikes at once: neurons that often fire together make a cluster of their sums."""

from dataclasses import dataclass

import numpy as np

from huidurep_sorter.spikes.spikes import Spikes, concatenate
from huidurep_sorter.templates.split_half import energies


@dataclass(frozen=True, kw_only=True)
class CollisionRules:
    """When a template is the sum of two others. Energies are those that are left, over the template's own."""

    min_count_ratio: float = 3.0  # times as many spikes have both of the others (templates-32)
    max_left_of_sum: float = 0.15  # energy that the sum of two leaves (templates-32)
    min_left_of_one: float = 0.25  # energy that either alone leaves; less: it may be that unit (templates-32)


RULES = CollisionRules()


@dataclass(frozen=True)
class Collision:
    """A unit whose template is the sum of two others', which are seen so many samples after it."""

    unit: int
    parts: tuple  # of the two other units
    lags: tuple  # samples


def find_collisions(templates, near, rules=RULES):
    """Find units whose template is the sum of two others', each at its own lag.

    Parameters
    ----------
    templates : SplitHalfTemplates
    near : (n_units, n_units) bool
        Units that can be seen in the same place.
    rules : CollisionRules

    Returns
    -------
    collisions : list of Collision
    """
    means, energy = templates.coefficients.mean(axis=1), energies(templates.coefficients)
    collisions = []
    for unit in range(len(means)):
        often = near[unit] & (templates.counts >= rules.min_count_ratio * templates.counts[unit])
        others = np.flatnonzero(often & (np.arange(len(means)) != unit))
        if len(others) >= 2:
            shifted = np.einsum("lkj,ujc->ulkc", templates.shifts, means[others])
            left_of_one, (parts, lags), left = explain(shifted, means[unit])
            if left_of_one >= rules.min_left_of_one * energy[unit] and left < rules.max_left_of_sum * energy[unit]:
                which = tuple(int(others[part]) for part in parts)
                collisions.append(Collision(unit, which, tuple(-int(templates.lags[lag]) for lag in lags)))
    return collisions


def explain(shifted, target):
    """Explain a template by one of some others, and by two of them.

    Parameters
    ----------
    shifted : (n_units, n_lags, n_components, n_channels) float
        The others, at each lag.
    target : (n_components, n_channels) float

    Returns
    -------
    left_of_one : float
        Energy that the best one leaves.
    best : (parts, lags)
        Indices of the best two.
    left_of_two : float
    """
    left = ((shifted - target) ** 2).sum(axis=(2, 3))
    left_of_one, best, left_of_two = left.min(), None, np.inf
    for first, lag in enumerate(left.argmin(axis=1)):
        rest = ((shifted - (target - shifted[first, lag])) ** 2).sum(axis=(2, 3))
        rest[first] = np.inf
        second, other_lag = np.unravel_index(rest.argmin(), rest.shape)
        if rest.min() < left_of_two:
            best, left_of_two = ((first, second), (lag, other_lag)), rest.min()
    return left_of_one, best, left_of_two


def give_to_both(units, collisions) -> Spikes:
    """Give the spikes of collisions to both of their units, each at its lag; their own labels are left empty."""
    parts = [units.take(~np.isin(units.label, [collision.unit for collision in collisions]))]
    for collision in collisions:
        at_once = units.take(units.label == collision.unit)
        for part, lag in zip(collision.parts, collision.lags, strict=True):
            parts.append(at_once.moved(lag).relabelled(np.full(len(at_once), part)))
    return concatenate(*parts)
