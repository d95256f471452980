"""`huidurep demo` in small: it prints scores and leaves a figure."""

from functools import partial

from huidurep_sorter.benchmark import demo
from huidurep_sorter.cli.main import main


def test_scores_are_printed_and_figure_and_sorting_are_kept(tmp_path, quick, monkeypatch, capsys):
    small = partial(demo.run_demo, num_channels=8, duration_s=10.0, num_units=5, **quick)
    monkeypatch.setattr(demo, "run_demo", small)
    assert main(["demo", "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "mean accuracy of the" in printed and "collisions of these units" in printed
    assert (tmp_path / "out" / "demo.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "sorting").is_dir()
