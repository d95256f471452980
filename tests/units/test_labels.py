import numpy as np
import pytest

from huidurep_sorter.units.labels import single_unit_probability, suggest_labels


@pytest.mark.parametrize(
    ("norm", "nn_hit_rate", "violations", "label"),
    [
        (40.0, 0.99, 0.0, "good"),
        (40.0, 0.5, 0.0, "good"),  # so large that its own few neighbours matter little
        (18.0, 0.97, 0.0, "good"),
        (11.0, 0.85, 0.0, "mua"),
        (17.0, 0.9, 1.0, "mua"),
        (9.0, 0.5, 0.0, "noise"),
        (11.0, 0.6, 5.0, "noise"),
    ],
)
def test_labels_of_units_as_they_are_seen(norm, nn_hit_rate, violations, label):
    probability = single_unit_probability(np.array([norm]), np.array([nn_hit_rate]), np.array([violations]))
    assert suggest_labels(probability).tolist() == [label], probability


def test_more_evidence_is_more_probable_and_stays_within_0_and_1():
    for values in (([8, 20, 90], 0.9, 0.1), (20, [0, 0.5, 1], 0.1), (20, 0.9, [50, 0.5, 0])):
        probability = single_unit_probability(*map(np.asarray, values))
        assert (np.diff(probability) > 0).all() and ((probability > 0) & (probability < 1)).all()


def test_no_unit_has_no_label():
    nothing = np.zeros(0)
    assert suggest_labels(single_unit_probability(nothing, nothing, nothing)).dtype == np.dtype("U5")
