"""One identity from probabilities: the surest first, no two units of a session, no chains against the evidence."""

import pandas as pd
import pytest

from huidurep_sorter.tracking.identities import find_identities

COLUMNS = ["session_1", "index_1", "session_2", "index_2", "probability"]


def identities(rows, n_units, min_probability=0.5):
    return [n.tolist() for n in find_identities(pd.DataFrame(rows, columns=COLUMNS), n_units, min_probability)]


def test_without_pairs_each_unit_is_a_neuron():
    assert identities([], [2, 0, 1]) == [[0, 1], [], [2]]


def test_pairs_from_the_least_probability_on_are_joined():
    rows = [(0, 0, 1, 0, 0.9), (0, 1, 1, 1, 0.4)]
    assert identities(rows, [2, 2]) == [[0, 1], [0, 2]]
    assert identities(rows, [2, 2], 0.3) == [[0, 1], [0, 1]]
    assert identities(rows, [2, 2], 0.95) == [[0, 1], [2, 3]]


def test_of_rivals_the_surer_is_taken():
    assert identities([(0, 0, 1, 0, 0.7), (0, 0, 1, 1, 0.8)], [1, 2]) == [[0], [1, 0]]


def test_no_neuron_has_two_units_of_a_session():
    rows = [(0, 0, 1, 0, 0.9), (1, 0, 2, 0, 0.9), (0, 1, 2, 0, 0.8)]
    assert identities(rows, [2, 1, 1]) in ([[0, 1], [0], [1]], [[0, 1], [0], [0]])


@pytest.mark.parametrize(("third", "joined"), [(0.6, True), (0.001, False)])
def test_a_third_unit_joins_where_all_of_its_pairs_speak_for_it(third, joined):
    rows = [(0, 0, 1, 0, 0.95), (1, 0, 2, 0, 0.7), (0, 0, 2, 0, third)]
    found = identities(rows, [1, 1, 1])
    assert (found == [[0], [0], [0]]) is joined
    if not joined:
        assert found == [[0], [0], [1]]
