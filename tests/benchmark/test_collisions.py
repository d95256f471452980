import numpy as np
from spikeinterface.core import NumpySorting

from huidurep_sorter.benchmark.collisions import collision_recall, spikes_found

FS = 10000.0  # a sample is 0.1 ms


def make_sorting(*segments):
    return NumpySorting.from_unit_dict([{k: np.array(v) for k, v in units.items()} for units in segments], FS)


def make_truth():
    """Units a and b collide at 0.3 and at 1.2 ms; c is far away; the last spike of a is alone."""
    return make_sorting({"a": [1000, 2000, 9000], "b": [1003, 2012], "c": [1001]})


def recall(found, similarity=0.0):
    close = np.zeros((3, 3), dtype=bool)
    close[0, 1] = close[1, 0] = True
    return {
        (row["similarity"], row["lag_ms"]): (row["n"], row["n_found"])
        for row in collision_recall(make_truth(), found, close, np.full((3, 3), similarity))
        if row["n"] and row["similarity"] != "alone"
    }


def test_pairs_are_counted_by_lag_for_both_spikes_and_only_of_close_units():
    spikes = make_truth().to_spike_vector()
    found = spikes["sample_index"] != 1003
    assert recall(found) == {("different", 0.2): (2, 1), ("different", 1.0): (2, 2)}
    assert set(recall(found, similarity=0.9)) == {("alike", 0.2), ("alike", 1.0)}


def test_spikes_without_another_are_the_reference():
    close = ~np.eye(3, dtype=bool)
    rows = collision_recall(make_truth(), np.ones(6, dtype=bool), close, np.zeros((3, 3)))
    assert (rows[0]["similarity"], rows[0]["n"]) == ("alone", 1)


def test_segments_do_not_collide():
    truth = make_sorting({"a": [1000], "b": []}, {"a": [], "b": [1001]})
    rows = collision_recall(truth, np.ones(2, dtype=bool), np.ones((2, 2), dtype=bool), np.zeros((2, 2)))
    assert [row["n"] for row in rows if row["n"]] == [2] and rows[0]["n"] == 2


def test_a_spike_is_found_where_the_matched_unit_has_one_within_the_tolerance():
    sorting = make_sorting({7: [1004, 2005], 8: [1003]})
    found = spikes_found(make_truth(), sorting, {"a": 7, "b": 8})
    spikes = make_truth().to_spike_vector()
    assert [(s["sample_index"], bool(f)) for s, f in zip(spikes, found, strict=True)] == [
        (1000, True),  # 0.4 ms away
        (1001, False),  # its unit has no match
        (1003, True),
        (2000, False),  # 0.5 ms away
        (2012, False),
        (9000, False),
    ]
