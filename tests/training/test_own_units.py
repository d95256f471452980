"""What an encoder adapts to, and that it is judged by other times."""

import numpy as np
import pytest

from huidurep_sorter.encoder.network import EncoderConfig
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.training import own_units
from huidurep_sorter.training.own_units import (
    HELD_OUT_SHARE,
    N_STRETCHES,
    excerpt,
    in_part,
    prepare_own_units,
    read_own_spikes,
)
from huidurep_sorter.training.spike_sets import MARGIN

WINDOW = EncoderConfig().window


@pytest.fixture
def sorted_by_truth(tetrode, monkeypatch):
    """The recording, whose sorting is the truth, which is sure but for its last unit; every group is large enough."""
    recording, truth = tetrode
    truth = truth.clone()
    truth.set_property("huidurep_single_unit_probability", np.array([0.9, 0.9, 0.9, 0.1]))
    monkeypatch.setattr(own_units, "sort_segment", lambda *args, **kwargs: truth)
    monkeypatch.setattr(own_units, "MIN_GROUP", 2)
    return recording, truth


def test_no_sample_is_in_both_parts_and_the_held_out_one_is_spread():
    samples, n, guard = np.arange(60_000), 60_000, 90
    held, rest = (in_part(samples, n, part, guard) for part in (True, False))
    assert not (held & rest).any()
    assert held.mean() == pytest.approx(HELD_OUT_SHARE - 2 * guard * N_STRETCHES / n, abs=1e-3)
    edges = np.flatnonzero(np.diff(held.astype(int)) == 1)
    assert len(edges) == N_STRETCHES and np.ptp(np.diff(edges)) <= 2  # samples, of rounding
    assert np.abs(samples[held][:, None] - samples[rest][None, ::97]).min() >= guard


def test_units_that_are_sure_are_learned_from_and_judged(sorted_by_truth):
    recording, _ = sorted_by_truth
    own = read_own_spikes(recording, WINDOW, 11, seed=0)
    assert set(own.training.unit) <= {0, 1, 2} and len(set(own.training.unit)) >= 2
    assert len(own.training.clean) == len(own.training.snippets)
    counts = np.unique(own.held_out.unit, return_counts=True)[1]
    assert (counts == own_units.N_HELD_OUT).all()
    noise = (own.held_out.snippets - own.held_out.clean).astype("float32")
    assert 0.3 < noise[:, MARGIN:-MARGIN, :4].std() < 4  # about units of noise, with some spikes in it
    again = read_own_spikes(recording, WINDOW, 11, seed=0)
    np.testing.assert_array_equal(own.held_out.snippets, again.held_out.snippets)


def test_a_recording_without_units_is_left_out_by_name(sorted_by_truth, tmp_path, caplog):
    recording, truth = sorted_by_truth
    truth.set_property("huidurep_single_unit_probability", np.zeros(4))
    with pytest.raises(NothingFound, match="no two units"):
        read_own_spikes(recording, WINDOW, 11, seed=0)
    assert prepare_own_units(tmp_path, {"mine": recording}, WINDOW, 11, seed=0) == {}
    assert "mine is left out" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_long_recording_is_read_in_pieces(tetrode, two_segments, monkeypatch):
    recording, _ = tetrode
    assert excerpt(recording) is recording
    monkeypatch.setattr(own_units, "MAX_CHANNEL_SECONDS", 4 * 4)
    monkeypatch.setattr(own_units, "PIECE_S", 1.0)
    short = excerpt(recording)
    assert short.get_num_segments() == 4 and short.get_total_duration() == pytest.approx(4.0, abs=0.01)
    assert excerpt(two_segments[0]).get_total_duration() == pytest.approx(4.0, abs=0.01)
