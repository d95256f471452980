"""Spikes on their way through the pipeline."""

import numpy as np

from huidurep_sorter.spikes.spikes import Spikes, concatenate
from tests.known import units


def test_units_left_out_number_the_rest_from_zero():
    left = units(np.array([1]), np.array([5]), np.array([9])).without(np.array([True, False, False]))
    np.testing.assert_array_equal(left.label, [0, 1])
    np.testing.assert_array_equal(left.sample_index, [5, 9])


def test_compact_orders_numbers_and_leaves_out_what_has_no_label():
    spikes = Spikes.at(np.array([9, 3, 3, 7]), np.array([0, 1, 2, 3]), np.array([4, 8, 4, -1])).compact()
    np.testing.assert_array_equal(spikes.sample_index, [3, 3, 9])
    np.testing.assert_array_equal(spikes.label, [0, 1, 0])
    np.testing.assert_array_equal(spikes.channel_index, [2, 1, 0])


def test_moves_are_remembered_through_every_step():
    spikes = Spikes.at(np.array([100, 200, 300]), 0, np.array([0, 1, 1])).moved(np.array([5, -3, -3]))
    spikes = spikes.take(np.array([2, 0])).moved(10).compact()
    np.testing.assert_array_equal(spikes.sample_index - spikes.shift, [100, 300])
    np.testing.assert_array_equal(spikes.shift, [15, 7])


def test_a_move_leaves_the_spikes_before_it_as_they_were():
    before = Spikes.at(np.array([100]), 0)
    before.moved(7)
    assert before.sample_index[0] == 100 and before.shift[0] == 0


def test_spikes_beyond_the_recording_are_left_out():
    kept = Spikes.at(np.array([-1, 0, 99, 100]), 0, 0).within(100)
    np.testing.assert_array_equal(kept.sample_index, [0, 99])


def test_features_go_with_their_spikes_and_trains_are_those_of_the_labels():
    spikes = Spikes(
        sample_index=np.array([5, 1, 3]),
        channel_index=np.zeros(3, "int64"),
        label=np.array([1, 0, 1]),
        shift=np.zeros(3, "int64"),
        features=np.array([[5.0], [1.0], [3.0]]),
    ).compact()
    np.testing.assert_array_equal(spikes.features.ravel(), [1, 3, 5])
    first, second = spikes.trains()
    assert first.tolist() == [1] and second.tolist() == [3, 5]
    assert spikes.counts().tolist() == [1, 2] and spikes.n_units == 2


def test_a_sorting_has_the_spikes_and_the_properties():
    spikes = units(np.array([10, 30]), np.array([20]))
    sorting = spikes.to_sorting(1000.0, {"size": np.array([2.5, 1.5])})
    assert sorting.get_unit_spike_train(0).tolist() == [10, 30] and sorting.get_unit_spike_train(1).tolist() == [20]
    np.testing.assert_array_equal(sorting.get_property("size"), [2.5, 1.5])


def test_no_spikes_are_no_obstacle():
    none = Spikes.at(np.zeros(0, "int64"), 0)
    assert len(none.compact()) == 0 and none.n_units == 0 and len(none.to_peaks()) == 0
    assert len(concatenate(none, none)) == 0
