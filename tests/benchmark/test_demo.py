"""The demo in small: it sorts by name, scores and draws."""

import matplotlib.image
import numpy as np
import pytest
from probeinterface import generate_linear_probe
from spikeinterface.core import NumpySorting, Templates
from spikeinterface.core.base import minimum_spike_dtype

from huidurep_sorter.benchmark.demo import Collisions, find_collisions, run_demo
from huidurep_sorter.benchmark.demo_figure import COLOURS, save_figure, unit_colours

SMALL = dict(num_channels=8, duration_s=10.0, num_units=5)


@pytest.fixture(scope="module")
def small(tmp_path_factory, quick):
    output = tmp_path_factory.mktemp("demo")
    return output, run_demo(output, **SMALL, **quick)


def test_table_has_a_row_for_each_true_unit_by_snr(small):
    _, demo = small
    table = demo.table
    assert list(table.columns) == ["unit", "snr", "spikes", "accuracy", "recall", "precision"]
    assert len(table) == 5 and table["snr"].is_monotonic_decreasing
    assert table["accuracy"].between(0, 1).all()
    assert table["accuracy"].max() > 0.8


def test_figure_is_drawn(small):
    output, demo = small
    save_figure(demo, output / "demo.png")
    image = matplotlib.image.imread(output / "demo.png")
    assert image.shape[0] > 500 and image[..., :3].std() > 0.05


def test_each_unit_has_a_colour_of_its_own(small):
    _, demo = small
    colours = unit_colours(demo)
    assert set(colours) == set(demo.sorting.unit_ids)
    assert len(set(colours.values())) == len(colours) and len(set(COLOURS)) == 20


def test_it_can_be_run_again_and_without_any_unit(small, quick, capsys):
    output, _ = small
    demo = run_demo(output, **SMALL, **quick | {"detect_threshold": 1000.0})
    assert (demo.table["accuracy"] == 0).all()
    assert "empty" in capsys.readouterr().err
    assert not demo.collisions.found.any()
    save_figure(demo, output / "nothing.png")
    assert (output / "nothing.png").stat().st_size > 10_000


def templates_at(*channels):
    """Make a template of each unit, on one of 8 channels that are 20 um apart."""
    array = np.zeros((len(channels), 60, 8), dtype="float32")
    array[np.arange(len(channels)), 20, channels] = -100.0
    probe = generate_linear_probe(num_elec=8, ypitch=20)
    probe.set_device_channel_indices(np.arange(8))
    return Templates(templates_array=array, sampling_frequency=30000.0, nbefore=20, is_in_uV=True, probe=probe)


def test_collisions_are_of_near_units_of_high_snr_and_found_where_both_spikes_are():
    trains = {"a": [1000, 5000, 9000], "b": [1020, 5025, 9031], "low": [1001], "far": [5001]}
    truth = NumpySorting.from_unit_dict([{unit: np.array(train) for unit, train in trains.items()}], 30000.0)
    sorting = NumpySorting.from_unit_dict([{7: np.array([1000, 5000, 9000]), 8: np.array([1022])}], 30000.0)
    templates, snrs = templates_at(0, 1, 2, 7), np.array([9.0, 8.0, 7.9, 20.0])
    collisions = find_collisions(truth, sorting, {"a": 7, "b": 8}, templates, snrs)
    assert collisions.spikes["sample_index"].tolist() == [[1000, 1020], [5000, 5025]]  # 9031 is more than 1 ms later
    assert collisions.distance_um.tolist() == [20.0, 20.0]
    assert collisions.found.tolist() == [True, False]


def test_the_collision_that_is_shown_was_found_and_is_of_the_nearest_units():
    spikes = np.zeros((4, 2), dtype=minimum_spike_dtype)
    spikes["sample_index"] = [[100, 115], [200, 216], [300, 303], [400, 415]]
    distance_um = np.array([20.0, 40.0, 40.0, 60.0])
    collisions = Collisions(spikes=spikes, distance_um=distance_um, found=np.array([False, True, True, True]))
    assert collisions.to_show(30000.0)["sample_index"].tolist() == [200, 216]
    nothing = Collisions(spikes=spikes, distance_um=distance_um, found=np.zeros(4, dtype=bool))
    assert nothing.to_show(30000.0) is None
