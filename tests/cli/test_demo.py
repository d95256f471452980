"""The demo in small: it sorts by name, scores and draws."""

import matplotlib.image
import pytest

from huidurep_sorter.cli import demo


@pytest.fixture(scope="module")
def small(tmp_path_factory, quick):
    output = tmp_path_factory.mktemp("demo")
    return output, demo.run_demo(output, num_channels=8, duration_s=10.0, num_units=5, **quick)


def test_table_has_a_row_for_each_true_unit_by_snr(small):
    _, table = small
    assert list(table.columns) == ["unit", "snr", "spikes", "accuracy", "recall", "precision"]
    assert len(table) == 5 and table["snr"].is_monotonic_decreasing
    assert table["accuracy"].between(0, 1).all()
    assert table["accuracy"].max() > 0.8


def test_figure_is_drawn(small):
    output, _ = small
    image = matplotlib.image.imread(output / "demo.png")
    assert image.shape[0] > 500 and image[..., :3].std() > 0.05


def test_it_can_be_run_again_and_without_any_unit(small, quick, capsys):
    output, _ = small
    nothing = quick | {"detect_threshold": 1000.0}
    table = demo.run_demo(output, num_channels=8, duration_s=10.0, num_units=5, **nothing)
    assert (table["accuracy"] == 0).all()
    assert "empty" in capsys.readouterr().err
