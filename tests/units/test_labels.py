"""Labels that probabilities suggest."""

import numpy as np

from huidurep_sorter.units.labels import suggest_labels


def test_labels_follow_the_probability_of_being_one_neuron():
    assert (
        suggest_labels(np.array([0.0, 0.24, 0.25, 0.74, 0.75, 1.0])).tolist()
        == ["noise"] * 2 + ["mua"] * 2 + ["good"] * 2
    )


def test_no_unit_has_no_label():
    assert suggest_labels(np.zeros(0)).dtype == np.dtype("U5")
