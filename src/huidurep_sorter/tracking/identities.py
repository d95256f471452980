"""One identity of a neuron across sessions, from the probabilities of pairs."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class IdentityRules:
    """How pairs that were not compared count."""

    probability_of_far: float = 1e-3  # that units which lie too far apart to be compared are one neuron (units-56)


RULES = IdentityRules()


def find_identities(pairs, n_units, min_probability):
    """Give each unit of each session a neuron.

    The most probable pairs are joined first. Two groups are joined where the mean evidence (log odds) of all pairs
    between them says so, and where no session would have two units in one neuron.

    Parameters
    ----------
    pairs : DataFrame
        With `session_1`, `index_1`, `session_2`, `index_2`, `probability`.
    n_units : list of int
        Of each session.
    min_probability : float
        That units are one neuron, from which they are joined.

    Returns
    -------
    neurons : list of (n_units,) int64
        Of each session's units; numbered from 0 in the order in which sessions and units come.
    """
    first_of = np.cumsum([0, *n_units])
    session = np.repeat(np.arange(len(n_units)), n_units)
    one, other = (
        first_of[pairs[f"session_{side}"].to_numpy(dtype="int64")] + pairs[f"index_{side}"].to_numpy(dtype="int64")
        for side in (1, 2)
    )
    evidence = dict(
        zip(zip(one, other, strict=True), log_odds(pairs["probability"].to_numpy(dtype="float64")), strict=True)
    )
    groups = {unit: [unit] for unit in range(len(session))}  # by its first unit
    group_of = np.arange(len(session))
    for pair in sorted(evidence, key=lambda pair: (-evidence[pair], pair)):
        if evidence[pair] < log_odds(min_probability):
            break
        a, b = sorted(group_of[list(pair)])
        if a == b or set(session[groups[a]]) & set(session[groups[b]]):
            continue
        if mean_evidence(groups[a], groups[b], evidence) >= log_odds(min_probability):
            groups[a] += groups.pop(b)
            group_of[groups[a]] = a
    numbers = np.unique(group_of, return_inverse=True)[1].astype("int64")
    return np.split(numbers, first_of[1:-1])


def mean_evidence(first, second, evidence):
    """Give the mean log odds that units of two groups are one neuron."""
    far = log_odds(RULES.probability_of_far)
    return np.mean([evidence.get((min(a, b), max(a, b)), far) for a in first for b in second])


def log_odds(probability):
    """Give the logarithm of the odds of probabilities; of certainty those of one in a million."""
    probability = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(probability / (1 - probability))
