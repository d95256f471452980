"""Whose spikes groups are."""

import numpy as np

from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.training.sorted_by_truth import find_owners


def test_owners_are_the_neurons_of_most_spikes():
    known = np.zeros(6, dtype=[("sample_index", "int64"), ("unit_index", "int64")])
    known["sample_index"], known["unit_index"] = [100, 200, 300, 1000, 2000, 3000], [0, 0, 0, 1, 1, 1]
    spikes = Spikes.at(np.array([105, 205, 1001, 2001, 2990, 5000]), 0, np.array([0, 0, 0, 1, 1, 1]))
    owner, purity = find_owners(spikes, known, 30000.0)
    assert owner.tolist() == [0, 1]
    np.testing.assert_allclose(purity, [2 / 3, 2 / 3])
