"""How far the probe was displaced between sessions, along its length."""

import logging
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.sparse.csgraph import connected_components

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ShiftRules:
    """How the displacement of the probe is found."""

    max_shift_um: float = 150.0  # um between two sessions that is looked for (units-56)
    max_apart_um: float = 40.0  # um across the probe between units that may be one (units-56)
    width_um: float = 5.0  # um of the kernel with which pairs vote; about how well a unit is located (units-56)
    near_um: float = 15.0  # um around the winner, within which the median is taken (units-56)
    least_lead: float = 2.0  # times the votes of any other shift, as the right one has 16 and chance 1.6 (units-56)
    likeness_scale: float = 0.05  # of the cosine of embeddings: 1 / e of the vote for so much less (units-56)


RULES = ShiftRules()


def find_shifts(sessions, embeddings):
    """Find by how much units lie further along y in each session than in the first.

    Every two sessions are compared, and the shifts that agree best with all comparisons are taken.

    Parameters
    ----------
    sessions : list of Session
    embeddings : list of (n_units, n_features)
        Of each session's units, around their own main channels.

    Returns
    -------
    shifts_um : (n_sessions,) float64
        0 for the first, and for the first of those that can't be compared with it.
    """
    n = len(sessions)
    rows, found, weights = [], [], np.zeros((n, n))
    for first, second in combinations(range(n), 2):
        shift_um, weight = compare_sessions(sessions[first], sessions[second], embeddings[first], embeddings[second])
        if weight == 0 and min(len(embeddings[first]), len(embeddings[second])) > 0:
            logger.warning(
                "between sessions %d and %d no shift of the probe stands out: they may have few neurons in common, and "
                "then probabilities are too high",
                first + 1,
                second + 1,
            )
        row = np.zeros(n)
        row[first], row[second] = -weight, weight
        rows.append(row)
        found.append(weight * shift_um)
        weights[first, second] = weight
    for earliest in np.unique(connected_components(weights > 0, directed=False)[1], return_index=True)[1]:
        rows.append(np.eye(n)[earliest])  # the first of those that can be compared stands still
        found.append(0.0)
    return np.linalg.lstsq(np.array(rows), np.array(found), rcond=None)[0].round(6) + 0.0  # 0 is exact, and not -0


def compare_sessions(first, second, first_embeddings, second_embeddings):
    """Find the displacement between two sessions, on which most pairs of units with alike embeddings agree.

    Returns
    -------
    shift_um : float
        By how much units lie further along y in the second.
    weight : float
        The vote that it got; 0 where there are no units to compare, or where no shift stands out.
    """
    away = second.location_um[None] - first.location_um[:, None]
    vote = np.exp((cosines(first_embeddings, second_embeddings) - 1) / RULES.likeness_scale)
    possible = (np.abs(away[..., 0]) <= RULES.max_apart_um) & (np.abs(away[..., 1]) <= RULES.max_shift_um)
    if not possible.any():
        return 0.0, 0.0
    along, vote = away[..., 1][possible], vote[possible]
    grid = np.arange(-RULES.max_shift_um, RULES.max_shift_um + 1)
    votes = (vote[:, None] * np.exp(-0.5 * ((along[:, None] - grid) / RULES.width_um) ** 2)).sum(axis=0)
    if votes.max() < RULES.least_lead * votes[np.abs(grid - grid[votes.argmax()]) > 2 * RULES.near_um].max():
        return 0.0, 0.0
    near = np.abs(along - grid[votes.argmax()]) <= RULES.near_um
    return weighted_median(along[near], vote[near]), float(votes.max())


def weighted_median(values, weights):
    """Give the value at which half of the weight lies on either side."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def cosines(first, second):
    """Give the cosines of each two rows, (n_first, n_second)."""
    first, second = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9) for rows in (first, second))
    return first @ second.T
