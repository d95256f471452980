"""The same neurons are found in sessions whose truth is known; what can't be tracked is refused in one sentence."""

import logging

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, NumpySorting, generate_recording

from huidurep_sorter import track_units
from huidurep_sorter.traces import traces as traces_module
from huidurep_sorter.traces.traces import LearningLimits
from huidurep_sorter.tracking.sessions import spread_spikes
from tests.tracking.conftest import SEEN, SHIFTS_UM, as_analyzer


def true_neuron(unit_id):
    return int(unit_id[1:])


def test_the_shift_of_the_probe_is_found(tracked):
    assert list(tracked.shifts_um) == ["mon", "tue", "wed"]
    np.testing.assert_allclose(list(tracked.shifts_um.values()), SHIFTS_UM, atol=3.0)


def test_units_of_one_neuron_get_one_identity_and_others_their_own(tracked):
    units = tracked.units
    assert len(units) == sum(map(len, SEEN))
    assert list(units.columns[:5]) == ["session", "unit_id", "neuron", "n_sessions", "probability"]
    truth = units["unit_id"].map(true_neuron)
    assert (units.groupby(truth)["neuron"].nunique() == 1).mean() >= 0.9
    assert (units.groupby("neuron")["unit_id"].agg(lambda ids: len({true_neuron(unit) for unit in ids})) == 1).all()
    assert (units.groupby("neuron")["session"].nunique() == units.groupby("neuron").size()).all()
    assert (units["n_sessions"] == units.groupby("neuron")["session"].transform("size")).all()
    assert units["probability"].isna().eq(units["n_sessions"] == 1).all()


def test_pairs_have_probabilities_that_tell_the_same_from_others(tracked):
    pairs = tracked.pairs
    same = [true_neuron(a) == true_neuron(b) for a, b in zip(pairs["unit_id_1"], pairs["unit_id_2"], strict=True)]
    assert pairs["probability"].between(0, 1).all() and pairs["probability"].is_monotonic_decreasing
    assert np.mean(pairs["probability"][same]) > 0.8
    assert np.mean(pairs["probability"][~np.array(same)]) < 0.05
    assert (pairs["session_1"] != pairs["session_2"]).all()


def test_waveforms_of_one_neuron_are_alike_where_the_shift_is_taken_off(tracked):
    first = tracked.units[tracked.units["session"] == "mon"].reset_index(drop=True)
    second = tracked.units[tracked.units["session"] == "tue"].reset_index(drop=True)
    for i, neuron in enumerate(first["neuron"]):
        for j in np.flatnonzero(second["neuron"] == neuron):
            if np.array_equal(tracked.channels_um[0][i], tracked.channels_um[1][j]):
                a, b = tracked.waveforms[0][i].ravel(), tracked.waveforms[1][j].ravel()
                assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.8


def test_the_same_is_found_again_and_without_names_sessions_have_numbers(sessions, tracked):
    again = track_units([as_analyzer(*session) for session in sessions])
    assert list(again.shifts_um) == [0, 1, 2]
    assert again.units["neuron"].tolist() == tracked.units["neuron"].tolist()
    assert again.pairs["probability"].tolist() == tracked.pairs["probability"].tolist()


def test_of_a_long_recording_few_stretches_are_read(monkeypatch):
    recording = generate_recording(num_channels=4, durations=[100.0], seed=0)
    often, rarely = np.arange(100, 2_900_000, 3000), np.arange(50_000, 2_900_000, 300_000)
    sorting = NumpySorting.from_unit_dict({"often": often, "rarely": rarely}, 30000.0)
    everything = spread_spikes(sorting, recording)
    assert everything.get_unit_spike_train("often").tolist() == often.tolist()
    monkeypatch.setattr(traces_module, "LIMITS", LearningLimits(channel_seconds=40.0))
    fewer = spread_spikes(sorting, recording)
    assert set(fewer.get_unit_spike_train("often") // 30_000 % 10) == {9}
    assert len(fewer.get_unit_spike_train("often")) >= 64
    assert fewer.get_unit_spike_train("rarely").tolist() == rarely.tolist()


def test_firing_can_count_too(sessions):
    tracked = track_units([as_analyzer(*session) for session in sessions[:2]], use_firing=True)
    assert (tracked.units["n_sessions"] == 2).sum() >= 10


def test_channels_that_not_all_sessions_have_are_left_out(sessions):
    recording, sorting = sessions[1]
    fewer = recording.select_channels(recording.channel_ids[::-1][:-4])
    tracked = track_units([as_analyzer(*sessions[0]), as_analyzer(fewer, sorting)])
    assert (tracked.units["n_sessions"] == 2).sum() >= 8


def test_a_session_without_units_has_no_pairs(sessions):
    recording, _ = sessions[1]
    nothing = NumpySorting.from_unit_dict({}, recording.sampling_frequency)
    tracked = track_units([as_analyzer(*sessions[0]), as_analyzer(recording, nothing)])
    assert len(tracked.units) == len(SEEN[0]) and len(tracked.pairs) == 0
    assert tracked.units["n_sessions"].eq(1).all() and set(tracked.shifts_um.values()) == {0.0}


def test_before_the_first_units_nothing_is_known_of_a_shift(sessions):
    recording, _ = sessions[0]
    nothing = NumpySorting.from_unit_dict({}, recording.sampling_frequency)
    silent = generate_recording(num_channels=32, durations=[1.0], set_probe=False)
    silent.set_probe(recording.get_probe())
    shifts_um = track_units([as_analyzer(silent, nothing), *(as_analyzer(*s) for s in sessions[:2])]).shifts_um
    assert list(shifts_um.values()) == pytest.approx([0, 0, SHIFTS_UM[1]], abs=3)


def test_missing_values_are_no_obstacle(sessions):
    recording, sorting = sessions[1]
    traces = recording.get_traces().astype("float32").copy()
    traces[30000:31000], traces[:, 5] = np.nan, 0.0
    broken = NumpyRecording([traces], recording.sampling_frequency)
    broken.set_probe(recording.get_probe())
    tracked = track_units([as_analyzer(*sessions[0]), as_analyzer(broken, sorting)])
    assert (tracked.units["n_sessions"] == 2).sum() >= 8


def test_what_cannot_be_tracked_is_refused(sessions):
    (recording, sorting), other = sessions[0], as_analyzer(*sessions[1])
    with pytest.raises(ValueError, match="at least two sessions, not 1"):
        track_units([other])
    with pytest.raises(ValueError, match="must be a SortingAnalyzer, not a str"):
        track_units("abc")
    with pytest.raises(ValueError, match="min_probability"):
        track_units([other, other], min_probability=1.0)
    moved = recording.clone()
    moved.set_dummy_probe_from_locations(recording.get_channel_locations() + 1000.0)
    with pytest.raises(ValueError, match="no channel in common"):
        track_units([as_analyzer(moved, sorting), other])
    gone = as_analyzer(recording, sorting)
    gone._recording = None
    with pytest.raises(ValueError, match="session 'mon' has no recording"):
        track_units({"mon": gone, "tue": other})


def test_the_shift_is_in_the_log(sessions, caplog):
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        track_units([as_analyzer(*session) for session in sessions[:2]])
    assert "shift of each session in um" in caplog.text
