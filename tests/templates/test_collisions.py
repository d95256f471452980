"""A template that is the sum of two others is found, one that is only like one of them is not."""

import numpy as np
import pytest

from huidurep_sorter.templates.collisions import Collision, find_collisions, give_to_both
from huidurep_sorter.templates.split_half import as_split_half
from tests.known import TEMPLATE, units


def templates_of(third, counts=(300, 300, 40)):
    """Two neurons, on channels 0 and 1, and a third template."""
    array = np.zeros((3, 2, 60, 4))
    array[0, :, :, 0], array[0, :, :, 1] = TEMPLATE[0], 0.4 * TEMPLATE[0]
    array[1, :, :, 1], array[1, :, :, 2] = TEMPLATE[0], 0.5 * TEMPLATE[0]
    array[2] = third(array)
    return as_split_half(20 * array, list(counts), max_lag=15)


NEAR = np.ones((3, 3), dtype=bool)


@pytest.mark.parametrize("lag", [0, 6, -9])
def test_the_sum_of_two_neurons_is_a_collision(lag):
    templates = templates_of(lambda array: array[0] + np.roll(array[1], lag, axis=1))
    (collision,) = find_collisions(templates, NEAR)
    assert collision.unit == 2
    lags = dict(zip(collision.parts, collision.lags, strict=True))
    assert abs(lags[0]) <= 1 and abs(lags[1] - lag) <= 1


def test_what_fires_as_often_as_its_parts_is_none():
    templates = templates_of(lambda array: array[0] + array[1], counts=(300, 300, 200))
    assert find_collisions(templates, NEAR) == []


def test_units_that_are_far_apart_make_none():
    templates = templates_of(lambda array: array[0] + array[1])
    assert find_collisions(templates, np.eye(3, dtype=bool)) == []


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.3])
def test_a_neuron_that_shrinks_is_none(scale):
    assert find_collisions(templates_of(lambda array: scale * array[0]), NEAR) == []


def test_another_neuron_is_none():
    templates = templates_of(lambda array: 1.5 * np.roll(array[1], 1, axis=2))
    assert find_collisions(templates, NEAR) == []


def test_both_units_get_the_spikes_of_their_collision():
    spikes = units(np.array([1000, 5000]), np.array([3000]), np.array([7000, 9000]))
    given = give_to_both(spikes, [Collision(2, (0, 1), (0, -5))])
    assert given.n_units == 2
    assert sorted(given.sample_index[given.label == 0]) == [1000, 5000, 7000, 9000]
    assert sorted(given.sample_index[given.label == 1]) == [3000, 6995, 8995]
