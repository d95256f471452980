import numpy as np
import pytest
from spikeinterface.core import load

from huidurep_sorter.benchmark.sorters import suites


@pytest.fixture
def short(monkeypatch):
    size = dict(duration_s=2.0, n_channels=16, n_units=4, tetrode_units=2, dense_units=6)
    monkeypatch.setitem(suites.SUITES, "quick", size)


def test_every_recording_can_be_made_and_units_are_where_the_channels_say(short, tmp_path):
    folders = suites.make_suite(tmp_path, "quick", seeds=[3])
    assert [folder.name for folder in folders] == [f"quick_{name}_seed3" for name in suites.RECORDINGS]
    for folder in folders:
        recording, sorting = load(folder / "recording"), load(folder / "sorting")
        assert recording.get_total_duration() == 2.0 and len(sorting.unit_ids) >= 2
    recording, sorting = load(folders[2] / "recording"), load(folders[2] / "sorting")
    away = distances_to_largest_channel(recording, sorting)
    assert away[0] < 30  # of the largest unit


def distances_to_largest_channel(recording, sorting):
    traces, out = recording.get_traces(), []
    for unit_id, location in zip(sorting.unit_ids, sorting.get_property("gt_unit_locations"), strict=True):
        train = sorting.get_unit_spike_train(unit_id, segment_index=0)
        train = train[(train > 10) & (train < len(traces) - 10)]
        template = np.mean([traces[t - 5 : t + 6] for t in train], axis=0)
        channel = np.ptp(template, axis=0).argmax()
        away = np.linalg.norm(recording.get_channel_locations()[channel] - location[:2])
        out.append((-np.ptp(template), away))
    return [away for _, away in sorted(out)]


def test_a_seed_is_a_recording_and_what_exists_is_kept(short, tmp_path):
    (one,) = suites.make_suite(tmp_path / "a", seeds=[0], names=["tetrode"])
    (same,) = suites.make_suite(tmp_path / "b", seeds=[0], names=["tetrode"])
    (other,) = suites.make_suite(tmp_path / "b", seeds=[1], names=["tetrode"])
    first, second, third = (load(folder / "recording").get_traces() for folder in (one, same, other))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
    (one / "mark").touch()
    suites.make_suite(tmp_path / "a", seeds=[0], names=["tetrode"])
    assert (one / "mark").exists()


def test_unknown_names_are_told(tmp_path):
    with pytest.raises(ValueError, match="no suite 'slow'"):
        suites.make_suite(tmp_path, "slow")
    with pytest.raises(ValueError, match="no recording 'octrode'"):
        suites.make_suite(tmp_path, names=["octrode"])
