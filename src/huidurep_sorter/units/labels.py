"""How probable it is that a unit is one neuron, and the label that this suggests to a curator."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """A logistic regression on what is known of a unit, and the probabilities from which it is called good or mua."""

    offset: float = -12.65  # fitted to units of known origin, as the next three (units-55)
    per_log_norm: float = 3.57  # a factor e of the template's norm (units-55)
    per_nn_hit_rate: float = 5.70  # of all of the nearest spikes being the unit's own (units-55)
    per_violations: float = -3.26  # of as many violations as a Poisson process has, and at most of those (units-55)
    min_probability_of_good: float = 0.75  # under it: "mua" (units-55)
    min_probability_of_mua: float = 0.25  # under it: "noise" (units-55)


RULES = LabelRules()


def single_unit_probability(norm, nn_hit_rate, isi_violations_ratio, rules=RULES):
    """Estimate how probable it is that at least 0.8 of a unit's spikes are of one neuron, (n_units,) 0 to 1.

    Parameters
    ----------
    norm, nn_hit_rate, isi_violations_ratio : (n_units,) float
        Properties of the units.
    rules : LabelRules
    """
    return 1 / (1 + np.exp(-unit_evidence(norm, nn_hit_rate, isi_violations_ratio, rules)))


def unit_evidence(norm, nn_hit_rate, isi_violations_ratio, rules):
    """Weigh the properties of units by `LabelRules` or `SpikeRules`: the logarithm of odds, (n_units,)."""
    return (
        rules.offset
        + rules.per_log_norm * np.log(np.maximum(norm, 1.0))
        + rules.per_nn_hit_rate * nn_hit_rate
        + rules.per_violations * np.minimum(isi_violations_ratio, 1.0)
    )


def suggest_labels(probability, rules=RULES):
    """Label units "good", "mua" or "noise" by the probability that they are one neuron, (n_units,) str."""
    labels = np.where(np.asarray(probability) >= rules.min_probability_of_good, "good", "mua")
    return np.where(np.asarray(probability) < rules.min_probability_of_mua, "noise", labels).astype("U5")
