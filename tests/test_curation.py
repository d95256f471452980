"""Merges, duplicates and what is no neuron, on spike trains of known origin."""

import numpy as np
import pytest

from huidurep_sorter import curation

FS = 30000.0
DURATION = int(100 * FS)


def poisson(rate_hz, seed, refractory_ms=0.0):
    rng = np.random.default_rng(seed)
    intervals = rng.exponential(FS / rate_hz, int(rate_hz * 200)) + refractory_ms * FS / 1000
    times = np.cumsum(intervals).astype("int64")
    return times[times < DURATION]


def units(*trains):
    samples = np.concatenate(trains)
    labels = np.repeat(np.arange(len(trains)), [len(t) for t in trains])
    return curation.make_units(samples, np.zeros(samples.size, dtype="int64"), labels)


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


def test_a_copy_of_a_unit_is_a_duplicate_and_chance_is_not():
    train, other = poisson(10, 0), poisson(10, 1)
    found = units(train, other, train[::3] + 5)
    bad = curation.are_echoes(found, FS, np.bincount(found.label), max_lag_ms=0.0)
    np.testing.assert_array_equal(bad, [False, False, True])


def test_the_tail_of_a_large_spike_is_an_echo_even_where_it_is_found_more_often():
    train = poisson(10, 0, refractory_ms=5.0)
    tail = np.sort(np.concatenate([train, poisson(3, 1)])) + 60
    found = units(train, tail)
    assert not curation.are_echoes(found, FS, [30.0, 10.0], max_lag_ms=0.0).any()
    np.testing.assert_array_equal(curation.are_echoes(found, FS, [30.0, 10.0], max_lag_ms=3.0), [False, True])


def test_a_unit_that_bursts_with_another_is_no_echo():
    train = poisson(10, 0, refractory_ms=5.0)
    jittered = train + np.random.default_rng(1).integers(-90, 90, train.size)
    assert not curation.are_echoes(units(train, jittered), FS, [2.0, 1.0], max_lag_ms=3.0).any()


def test_the_shared_fraction_is_that_of_the_best_lag():
    train = np.arange(1, 101) * 3000
    other = np.concatenate([train[:70] + 45, train[70:] - 45])
    assert curation.shared_fraction(train, other, FS, 3.0) == pytest.approx(0.7)
    assert curation.shared_fraction(train, other, FS, 0.0) == 0
    assert curation.shared_fraction(train, train + 90_000_000, FS, 3.0) == 0


def test_censoring_leaves_one_spike_of_a_pair():
    kept = curation.censor(units(np.array([1000, 1010, 9000, 9000 + int(0.002 * FS)])), FS)
    np.testing.assert_array_equal(kept.sample_index, [1000, 9000, 9060])


def test_segments_are_far_apart():
    both = curation.make_units(np.array([100, 101]), np.array([0, 1]), np.array([0, 0]))
    assert len(curation.censor(both, FS)) == 2


def test_dropping_units_numbers_the_rest_from_zero():
    left = curation.drop(units(np.array([1]), np.array([5]), np.array([9])), np.array([True, False, False]))
    np.testing.assert_array_equal(left.label, [0, 1])
    np.testing.assert_array_equal(left.sample_index, [5, 9])
