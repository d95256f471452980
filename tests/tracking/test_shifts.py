"""The shift of the probe, from units of known places and embeddings."""

from types import SimpleNamespace

import numpy as np
import pytest

from huidurep_sorter.tracking.shifts import compare_sessions, find_shifts, weighted_median


def make_session(shift_um, seed=0, n_units=20):
    """Units along 400 um, and their embeddings, which the seed makes."""
    rng = np.random.default_rng(seed)
    places = np.column_stack([rng.uniform(0, 32, n_units), rng.uniform(0, 400, n_units) + shift_um])
    return SimpleNamespace(location_um=places), rng.normal(size=(n_units, 32))


def test_the_shift_on_which_alike_units_agree_is_found():
    (first, a), (second, b) = make_session(0.0), make_session(-23.0)
    shift_um, weight = compare_sessions(first, second, a, b)
    assert shift_um == pytest.approx(-23.0, abs=0.5) and weight > 10


def test_sessions_without_a_neuron_in_common_have_no_shift_and_it_is_said(caplog):
    sessions, embeddings = zip(make_session(0.0), make_session(30.0, seed=1), strict=True)
    assert find_shifts(sessions, embeddings).tolist() == [0, 0]
    assert "between sessions 1 and 2 no shift of the probe stands out" in caplog.text


def test_a_session_that_cannot_be_compared_stands_still_and_others_do_not_lean_on_it(caplog):
    nothing = SimpleNamespace(location_um=np.zeros((0, 2))), np.zeros((0, 32))
    sessions, embeddings = zip(nothing, make_session(5.0), make_session(25.0), strict=True)
    np.testing.assert_allclose(find_shifts(sessions, embeddings), [0, 0, 20], atol=0.5)
    assert "stands out" not in caplog.text


def test_three_sessions_agree_on_their_shifts():
    sessions, embeddings = zip(*(make_session(shift) for shift in (0.0, 8.0, -4.0)), strict=True)
    found = find_shifts(sessions, embeddings)
    np.testing.assert_allclose(found, [0, 8, -4], atol=0.5)
    assert found[0] == 0  # so that the first session is not interpolated


def test_half_of_the_weight_lies_on_either_side_of_the_median():
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0])) == 2
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([5.0, 1.0, 1.0])) == 3
