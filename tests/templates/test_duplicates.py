"""Units and spikes that were found twice, on spike trains of known origin."""

import numpy as np
import pytest

from huidurep_sorter.templates import duplicates
from huidurep_sorter.templates.duplicates import find_residual_spikes
from tests.known import DURATION, FS, on_four_channels, poisson, units

ALL = np.ones((3, 3), dtype=bool)


def test_a_copy_of_a_unit_is_found_twice_and_chance_is_not():
    train, other = poisson(10, 0), poisson(10, 1)
    found = units(train, other, train[::3] + 5)
    bad = find_residual_spikes(found, FS, np.array([3.0, 2.0, 1.0]), ALL)
    np.testing.assert_array_equal(bad, found.label == 2)


def test_what_a_small_template_found_in_a_large_spike_is_a_residual():
    large, own = poisson(10, 0), poisson(5, 1)
    again = large[::2] + np.random.default_rng(2).integers(-10, 11, large[::2].size)
    found = units(large, np.sort(np.concatenate([own, again])))
    bad = find_residual_spikes(found, FS, np.array([25.0, 12.0]), ALL)
    assert not bad[found.label == 0].any()
    left = found.sample_index[(found.label == 1) & ~bad]
    assert not np.isin(again, left).any()
    assert np.isin(own, left).mean() > 0.98


def test_chance_coincidences_are_no_residuals():
    found = units(poisson(60, 0), poisson(60, 1), poisson(60, 2))
    assert not find_residual_spikes(found, FS, np.array([3.0, 2.0, 1.0]), ALL).any()


def test_neurons_that_burst_together_are_no_residuals_of_one_another():
    """All spikes within bursts of 100 ms: by the whole recording a tenth of the coincidences would be expected."""
    rng, starts = np.random.default_rng(0), np.arange(1, 90) * FS
    trains = [np.unique((starts[:, None] + rng.uniform(0, 0.1 * FS, (89, 15))).astype(int).ravel()) for _ in range(2)]
    assert not find_residual_spikes(units(*trains), FS, np.array([2.0, 1.0]), ALL).any()


def test_of_two_units_of_the_same_spikes_the_larger_one_keeps_them():
    small = poisson(10, 0)
    found = units(small, small + 3)
    bad = find_residual_spikes(found, FS, np.array([12.0, 25.0]), ALL)
    assert bad[found.label == 0].all() and not bad[found.label == 1].any()


def test_units_that_are_far_apart_may_fire_together():
    train = poisson(10, 0)
    found, far = units(train, train), np.eye(2, dtype=bool)
    assert not find_residual_spikes(found, FS, np.array([2.0, 1.0]), far).any()


@pytest.mark.parametrize(("n_coincident", "are_residuals"), [(11, True), (10, False), (0, False)])
def test_few_coincidences_are_left_alone(n_coincident, are_residuals):
    large = 6000 * np.arange(1, 101)
    small = large + np.where(np.arange(100) < n_coincident, 5, 3000)
    assert find_residual_spikes(units(large, small), FS, np.array([2.0, 1.0]), ALL).any() == are_residuals


@pytest.mark.parametrize("within_ms", [2.0, 5.0])
def test_neurons_that_fire_within_milliseconds_of_one_another_are_no_residuals(within_ms):
    first, rng = poisson(10, 0), np.random.default_rng(1)
    second = np.unique(first + (rng.uniform(-within_ms, within_ms, len(first)) * FS / 1000).astype(int))
    assert not find_residual_spikes(units(first, second), FS, np.array([2.0, 1.0]), ALL).any()


def with_waves(*units_and_sizes):
    """Traces and spikes of units on channel 1, each a train and a size."""
    array = np.random.default_rng(0).normal(size=(DURATION, 4))
    wave = np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    for train, size in units_and_sizes:
        for time in train[(train > 100) & (train < DURATION - 100)]:
            array[time - 10 : time + 11, 1] -= size * wave
    return on_four_channels(array), units(*(train for train, _ in units_and_sizes))


def test_a_small_unit_loses_what_it_took_of_a_large_one():
    large, small = poisson(10, 0, refractory_ms=3.0), poisson(10, 1, refractory_ms=3.0)
    traces, _ = with_waves((large, 20.0), (small, 8.0))
    again = large[::3] + 5
    both = units(large, np.sort(np.concatenate([small, again])))
    duplicated = duplicates.find_duplicated_spikes(traces, both)
    assert not duplicated[both.label == 0].any()
    assert np.isin(again, both.sample_index[duplicated]).all()
    assert duplicated[both.label == 1].mean() < 1.1 * len(again) / (both.label == 1).sum()


def test_two_neurons_keep_the_spikes_that_coincide_by_chance():
    traces, spikes = with_waves((poisson(10, 0, 3.0), 10.0), (poisson(10, 1, 3.0), 8.0))
    assert not duplicates.find_duplicated_spikes(traces, spikes).any()
