"""Merges, duplicates and what is no neuron, on spike trains of known origin."""

import numpy as np
import pytest

from huidurep_sorter import curation
from tests.trains import DURATION, FS, poisson, units


def test_independent_trains_pair_as_often_as_chance():
    ratio, expected = curation.pair_ratio(poisson(20, 0), poisson(20, 1), FS, DURATION)
    assert expected > 30
    assert ratio == pytest.approx(1, abs=0.3)


def test_two_halves_of_one_train_keep_its_refractory_period():
    train = poisson(40, 0, refractory_ms=3.0)
    ratio, _ = curation.pair_ratio(train[::2], train[1::2], FS, DURATION)
    assert ratio == 0


def test_violations_tell_a_neuron_from_a_mixture():
    assert curation.violation_ratio(poisson(20, 0, refractory_ms=3.0), FS, DURATION)[0] == 0
    assert curation.violation_ratio(poisson(40, 0), FS, DURATION)[0] == pytest.approx(1, abs=0.25)


def test_censoring_leaves_one_spike_of_a_pair():
    kept = curation.censor(units(np.array([1000, 1010, 9000, 9000 + int(0.002 * FS)])), FS)
    np.testing.assert_array_equal(kept.sample_index, [1000, 9000, 9060])


def test_dropping_units_numbers_the_rest_from_zero():
    left = curation.drop(units(np.array([1]), np.array([5]), np.array([9])), np.array([True, False, False]))
    np.testing.assert_array_equal(left.label, [0, 1])
    np.testing.assert_array_equal(left.sample_index, [5, 9])


def test_faint_units_must_be_more_distinct_than_others():
    properties = {
        "template_norm": np.array([20.0, 20.0, 9.0, 9.0, 9.0]),
        "confidence": np.array([0.5, 0.6, 0.6, 0.9, 0.9]),
        "refractory_violations": np.array([0.0, 0.8, 0.0, 0.0, 0.8]),
    }
    np.testing.assert_array_equal(curation.are_sure(properties, 0.55), [False, True, False, True, False])
