"""Pairs of spikes and violations, on spike trains of known origin."""

import numpy as np
import pytest

from huidurep_sorter.spikes import spike_trains as refractoriness
from tests.trains import DURATION, FS, poisson, units


def test_independent_trains_pair_as_often_as_chance():
    ratio, expected = refractoriness.pair_ratio(poisson(20, 0), poisson(20, 1), FS, DURATION)
    assert expected > 30
    assert ratio == pytest.approx(1, abs=0.3)


def test_two_halves_of_one_train_keep_its_refractory_period():
    train = poisson(40, 0, refractory_ms=3.0)
    ratio, _ = refractoriness.pair_ratio(train[::2], train[1::2], FS, DURATION)
    assert ratio == 0


def test_violations_tell_a_neuron_from_a_mixture():
    assert refractoriness.violation_ratio(poisson(20, 0, refractory_ms=3.0), FS, DURATION)[0] == 0
    assert refractoriness.violation_ratio(poisson(40, 0), FS, DURATION)[0] == pytest.approx(1, abs=0.25)


def test_censoring_leaves_one_spike_of_a_pair():
    kept = refractoriness.censor(units(np.array([1000, 1010, 9000, 9000 + int(0.002 * FS)])), FS)
    np.testing.assert_array_equal(kept.sample_index, [1000, 9000, 9060])
