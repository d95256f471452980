"""The label that the probability of being one neuron suggests to a curator."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """The probabilities from which a unit is called good or mua."""

    min_probability_of_good: float = 0.75  # under it: "mua" (units-55)
    min_probability_of_mua: float = 0.25  # under it: "noise" (units-55)


RULES = LabelRules()


def suggest_labels(probability, rules=RULES):
    """Label units "good", "mua" or "noise" by the probability that they are one neuron, (n_units,) str."""
    labels = np.where(np.asarray(probability) >= rules.min_probability_of_good, "good", "mua")
    return np.where(np.asarray(probability) < rules.min_probability_of_mua, "noise", labels).astype("U5")
