"""The tables of the speed benchmark, from made-up records whose growth is known."""

import json
from itertools import product

import numpy as np
import pytest

from speed_figures import save_figures
from speed_report import duration_lines, exponents, fit_power, least_squares, markdown, read_records

CIRCUMSTANCES = dict.fromkeys(
    ("huidurep_sorter", "spikeinterface", "numpy", "torch", "python", "system", "processor", "n_cpus", "gpu"), "some"
)


def made_up(duration_s, n_channels, n_true_units, n_jobs=1, sorter="huidurep", **more):
    """A record of a run that grows as t^1 c^0.5 u^0.25, of which matching takes 60 % and detection 1 %."""
    cpu = 0.2 * duration_s * n_channels**0.5 * n_true_units**0.25
    wall = cpu / n_jobs**0.5
    stages = {name: [[share * wall, share * cpu, 1.0]] for name, share in (("match", 0.6), ("detect", 0.01))}
    stages["total"] = [[wall, cpu, 1.0]]
    record = dict(duration_s=duration_s, n_channels=n_channels, n_true_units=n_true_units, n_jobs=n_jobs, drift=False)
    record |= dict(sorter=sorter, status="ok", seconds=wall, cpu_seconds=cpu, peak_memory_gb=0.1 * duration_s**0.5)
    record |= dict(disk_gb=0.0, accuracy=0.9, n_units=4, n_spikes=100, sorter_version="1", stages=stages)
    return record | CIRCUMSTANCES | more


@pytest.fixture
def tables(tmp_path):
    """Read the tables of records, which are written as `speed.py` does."""

    def read(records):
        for i, record in enumerate(records):
            (tmp_path / f"{i}.json").write_text(json.dumps(record), "utf8")
        return read_records(tmp_path)

    return read


def grid(durations=(10.0, 20.0, 40.0), channels=(16, 64), units=(8, 32), jobs=(1, 2)):
    return [made_up(*size) for size in product(durations, channels, units, jobs)]


def rows_of(text, *start):
    """The rows of Markdown tables that start with these cells, each as its other cells."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row[len(start) :] for row in rows if row[: len(start)] == list(start)]


def test_fits_recover_the_exponents_that_vary(tables):
    runs, _ = tables(grid(units=(8,)))
    found = fit_power(runs[runs["n_jobs"] == 1], "cpu_seconds")
    assert list(found) == ["duration_s", "n_channels"]
    assert np.allclose([found["duration_s"][0], found["n_channels"][0]], [1, 0.5])


def test_the_standard_error_is_that_of_a_textbook():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.1, 1.9, 3.2, 3.8])
    (fixed, fixed_error), (slope, slope_error) = least_squares(np.column_stack([np.ones(4), x]), y)
    residual = y - fixed - slope * x
    expected = np.sqrt((residual**2).sum() / 2 / ((x - x.mean()) ** 2).sum())
    assert np.allclose([slope, slope_error], [np.polyfit(x, y, 1)[0], expected])
    assert fixed_error == pytest.approx(expected * np.sqrt((x**2).mean()))


def test_sizes_that_vary_together_cant_be_told_apart(tables):
    runs, stages = tables([made_up(10.0, 16, 8), made_up(10.0, 64, 32), made_up(10.0, 128, 64)])
    assert rows_of(markdown(runs, stages), "huidurep", "total, CPU s") == [["3", "", "can't be told", "can't be told"]]


def test_without_a_value_to_spare_there_is_no_error(tables):
    runs, stages = tables([made_up(10.0, 16, 8), made_up(20.0, 16, 8)])
    assert rows_of(markdown(runs, stages), "huidurep", "total, CPU s") == [["2", "1.00", "", ""]]


def test_the_report_tells_total_memory_and_main_stages(tables):
    text = markdown(*tables(grid()))
    assert rows_of(text, "huidurep", "total, CPU s") == [["12", "1.00 ± 0.00", "0.50 ± 0.00", "0.25 ± 0.00"]]
    assert rows_of(text, "huidurep", "total, GB")[0][1] == "0.50 ± 0.00"
    assert rows_of(text, "huidurep", "match, CPU s") and not rows_of(text, "huidurep", "detect, CPU s")
    assert rows_of(text, "huidurep", "40", "64", "32", "match") == [["91.3", "60.0"]]
    assert rows_of(text, "huidurep", "40", "64", "32", "outside of stages")[0][1] == "39.0"
    assert rows_of(text, "huidurep", "match", "2") == [["12", "1.41", "1.41"]]
    assert len(rows_of(text, "huidurep", "16", "8", "3")) == 1


def test_a_fixed_cost_is_told_from_one_of_each_second(tables):
    runs, stages = tables([made_up(s, 16, 8, cpu_seconds=5 + 0.5 * s) for s in (10.0, 20.0, 80.0)])
    costs = runs.assign(stage="total")
    assert rows_of(duration_lines(costs), "huidurep", "16", "8") == [["3", "5.00 ± 0.00", "0.50 ± 0.00"]]
    exponent = rows_of(exponents(costs), "huidurep", "total, CPU s")[0][1]
    assert float(exponent.split()[0]) < 0.9


def test_sorters_and_drift_are_fitted_apart(tables):
    records = grid(jobs=(1,)) + [record | dict(drift=True) for record in grid(jobs=(1,))]
    other = [record | dict(sorter="simple", stages={}, cpu_seconds=record["duration_s"] ** 2) for record in records]
    text = markdown(*tables(records + other))
    for name, exponent in (("huidurep", "1.00"), ("huidurep, drift", "1.00"), ("simple, drift", "2.00")):
        assert rows_of(text, name, "total, CPU s")[0][1] == f"{exponent} ± 0.00"


def test_failed_runs_are_rows_and_enter_no_fit(tables, tmp_path):
    failed = dict(status="failed", error="killed by signal 9", seconds=9e9, cpu_seconds=9e9)
    runs, stages = tables([*grid(), made_up(80.0, 64, 32, **failed)])
    text = markdown(runs, stages)
    assert rows_of(text, "huidurep", "80", "64", "32", "1")[0][-2:] == ["failed", "killed by signal 9"]
    assert rows_of(text, "huidurep", "total, CPU s")[0][0] == "12"
    save_figures(runs, stages, tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"cpu_seconds.png", "stages.png"}


def test_where_all_failed_there_is_a_report_too(tables, tmp_path):
    record = made_up(10.0, 16, 8, status="failed", error="no", stages={})
    kept = {key: value for key, value in record.items() if key not in ("seconds", "cpu_seconds", "accuracy")}
    runs, stages = tables([kept])
    assert "| failed | no |" in markdown(runs, stages)
    save_figures(runs, stages, tmp_path)
    assert not list(tmp_path.glob("*.png"))
