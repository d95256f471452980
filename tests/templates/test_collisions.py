"""Templates whose spikes are others at once are left out, and no other."""

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.collisions import left_by_others, without_collisions
from huidurep_sorter.templates.estimation import make_templates
from tests.known import FS, on_four_channels

SECONDS = 20


def shape(kind):
    """Waveforms (60, 4) of neurons that nobody could mistake for one another."""
    time = np.arange(60)
    centre, width, place = {"a": (24, 3, 0.0), "b": (24, 5, 1.6), "c": (24, 4, 3.0), "other": (24, 9, 0.8)}[kind]
    wave = -np.exp(-(((time - centre) / width) ** 2)) + 0.4 * np.exp(-(((time - centre - 3 * width) / width) ** 2))
    return 20 * np.outer(wave, np.exp(-np.abs(np.arange(4) - place)))


def recorded(sums, n_of_third=30, seed=0):
    """Three neurons, and events of several waveforms at once, each (kind, lag, scale): traces and clusters."""
    rng = np.random.default_rng(seed)
    array = rng.normal(size=(int(SECONDS * FS), 4))
    times = np.sort(rng.choice(np.arange(500, len(array) - 500, 200), 900 + n_of_third, replace=False))
    labels = rng.permutation(np.repeat([0, 1, 2, 3], [300, 300, 300, n_of_third]))
    parts = [[("a", 0, 1.0)], [("b", 0, 1.0)], [("c", 0, 1.0)], sums]
    for time, label in zip(times, labels, strict=True):
        for kind, lag, scale in parts[label]:
            start = time - 24 + lag + (rng.integers(-2, 3) if len(parts[label]) > 1 else 0)
            array[start : start + 60] += scale * shape(kind)
    return on_four_channels(array), Spikes.at(times, np.array([0, 2, 3, 0])[labels], labels)


def n_templates(sums, **kwargs):
    traces, clusters = recorded(sums, **kwargs)
    templates, clusters = make_templates(traces, clusters, SortingParameters())
    assert len(templates.unit_ids) == 4
    return len(without_collisions(traces, templates, clusters).unit_ids)


@pytest.mark.parametrize("lag", [0, 8, -13, 34, -34])
def test_two_neurons_at_once_make_no_template(lag):
    assert n_templates([("a", 0, 1.0), ("b", lag, 1.0)]) == 3


def test_nor_do_three():
    assert n_templates([("a", 0, 1.0), ("b", 6, 1.0), ("c", -7, 1.0)]) == 3


def test_what_fires_as_often_as_its_parts_is_a_neuron():
    assert n_templates([("a", 0, 1.0), ("b", 6, 1.0)], n_of_third=150) == 4


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.3])
def test_a_neuron_that_was_split_is_left_to_merging(scale):
    assert n_templates([("a", 0, scale)]) == 4


def test_another_neuron_stays():
    assert n_templates([("other", 0, 1.5)]) == 4


def test_what_is_left_is_as_a_slow_search_finds():
    rng = np.random.default_rng(1)
    others, waveforms = rng.normal(size=(3, 10, 2)), rng.normal(size=(5, 30, 2)) * 2
    left = left_by_others(waveforms, others, 2)
    for spike, waveform in enumerate(waveforms):
        rest = waveform.copy()
        for step in range(3):
            assert left[step, spike] == pytest.approx((rest[10:20] ** 2).sum())
            tries = []
            for lag in range(21):
                for other in others:
                    tried = rest.copy()
                    tried[lag : lag + 10] -= other
                    tries.append(tried)
            best = min(tries, key=lambda tried: (tried**2).sum())
            rest = best if (best**2).sum() < (rest**2).sum() else rest
