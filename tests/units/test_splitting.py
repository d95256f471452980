"""Units of two neurons are cut, and neurons are not."""

from dataclasses import replace

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.traces.periods import SetAside, as_periods
from huidurep_sorter.units import splitting
from huidurep_sorter.units.splitting import are_overlapped, cut, cut_in_two, gather, split_mixtures
from tests.known import DURATION, on_four_channels, poisson, two_neurons, units


@pytest.fixture(scope="module")
def neurons():
    return two_neurons()


@pytest.mark.parametrize("features", ["huidurep", "svd"])
def test_a_unit_of_two_neurons_is_cut_and_a_neuron_is_not(neurons, features):
    traces, first, second = neurons
    mixed = units(np.sort(np.concatenate([first, second])), first[::2] + DURATION)  # the other one is beyond the end
    mixed = mixed.take(mixed.sample_index < DURATION)
    parameters = SortingParameters(features=features, torch_device="cpu")
    found, decisions = split_mixtures(traces, mixed, parameters)
    assert found.n_units == 2
    assert decisions["decision"].tolist() == ["split"] and decisions["probability"][0] < 0.5
    assert decisions[["num_spikes", "num_spikes_of_other"]].to_numpy().sum() == len(mixed)
    own = [np.isin(first, train).mean() for train in found.trains()]
    assert max(own) > 0.95 and min(own) < 0.05
    again, nothing = split_mixtures(traces, units(first, second), parameters)
    assert again.n_units == 2 and len(nothing) == 0


def test_a_neuron_whose_spikes_shrink_in_bursts_is_not_cut():
    """Chosen one by one from all of them, spikes wouldn't show that small ones follow large ones."""
    array = np.random.default_rng(0).normal(size=(DURATION, 4))
    wave, first = np.exp(-((np.arange(-10, 11) / 4.0) ** 2)), poisson(6, 0, refractory_ms=12.0)[1:-1]
    later = first[::2] + np.random.default_rng(1).integers(100, 200, len(first[::2]))
    for train, size in ((first, 1.0), (later, 0.6)):
        for time in train:
            array[time - 10 : time + 11] -= size * np.outer(wave, [3, 14, 9, 2])
    train = np.sort(np.concatenate([first, later]))
    found, decisions = split_mixtures(on_four_channels(array), units(train), SortingParameters())
    assert found.n_units == 1, decisions


def test_a_neuron_stays_one_however_sure_a_merge_must_be(neurons):
    traces, first, _ = neurons
    found, decisions = split_mixtures(traces, units(first), SortingParameters(min_merge_probability=1.0))
    assert found.n_units == 1 and len(decisions) == 0


def test_a_second_look_keeps_the_cut_of_the_first(neurons):
    """Of all spikes two Gaussians would rather cut off a few odd ones."""
    traces, first, second = neurons
    mixed = units(np.sort(np.concatenate([first, second])))
    (old,) = gather(traces, mixed, [0], np.ones(len(mixed), dtype=bool))
    new = replace(old, n_spikes=2000)
    assert len(old.chosen) == 200 < len(new.chosen) and set(old.chosen) <= set(new.chosen)
    side = np.isin(mixed.sample_index[old.chosen], first)
    (again,) = cut_in_two(traces, [new], SortingParameters(), [(old, side)])
    assert (again == np.isin(mixed.sample_index, first)).mean() > 0.97


def test_what_was_nearly_cut_is_noted(neurons, monkeypatch):
    monkeypatch.setattr(splitting, "ask", lambda traces, wholes, *_: np.full(len(wholes), 0.7))
    traces, first, second = neurons
    found, decisions = split_mixtures(traces, units(first, second), SortingParameters())
    assert found.n_units == 2 and decisions["decision"].tolist() == ["kept whole"] * 2
    assert (decisions["probability"] == 0.7).all()


def test_silence_of_the_recording_is_not_counted(neurons):
    """Of few spikes all are chosen, also where most of the recording is without signal."""
    traces, first, second = neurons
    filled = as_periods([np.array([[10_000, DURATION - 900_000]])])
    few = units(np.sort(np.concatenate([first[-90:], second[-90:]])))
    traces = replace(traces, set_aside=SetAside(reduced=as_periods([]), filled=filled))
    found, _ = split_mixtures(traces, few, SortingParameters())
    assert len(found) == len(few)


def test_units_of_few_spikes_are_left_alone(neurons):
    traces, first, second = neurons
    few = units(np.sort(np.concatenate([first[:19], second[:20]])))
    found, decisions = split_mixtures(traces, few, SortingParameters(min_cluster_size=20))
    np.testing.assert_array_equal(found.label, few.label)
    assert len(decisions) == 0


def test_a_cut_lies_across_the_direction_that_tells_two_clouds_apart():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 12))
    x[:200, 3] += 8
    side = cut(x)
    assert len(set(side[:200])) == len(set(side[200:])) == 1 and side[0] != side[-1]
    known = np.array([3, 7, 300, 390])
    for first in (False, True):  # sides keep their names, also with features of another basis
        again = cut(x[:, ::-1], known=(known, np.array([first, first, not first, not first])))
        assert (again[:200] == first).all() and (again[200:] != first).all()


def test_equal_spikes_are_not_cut():
    assert not cut(np.ones((50, 12))).any()


def test_spikes_that_another_unit_overlaps_are_known(neurons):
    traces, *_ = neurons  # at 30 kHz: the window of a template is 60 samples
    found = units(np.array([1000, 2000, 3000, 3010]), np.array([1040, 2080, 4000]))
    overlapped = np.sort(found.sample_index[are_overlapped(traces, found)])
    assert overlapped.tolist() == [1000, 1040]  # 3000 and 3010 are of one unit


def test_a_unit_is_left_alone_where_another_one_always_fires_with_it(neurons):
    traces, first, second = neurons
    mixed = np.sort(np.concatenate([first, second]))
    found, decisions = split_mixtures(traces, units(mixed, mixed + 5), SortingParameters())
    assert found.n_units == 2 and len(decisions) == 0
