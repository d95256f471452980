import shutil

import numpy as np
import pandas as pd
import pytest

from huidurep_sorter.benchmark.representation.report import choose_methods, run_benchmark, write_markdown
from huidurep_sorter.cli.main import main
from huidurep_sorter.encoder.checkpoints import WEIGHTS_FOLDER, shipped_weights


@pytest.fixture(scope="module")
def folder(tetrode, tmp_path_factory):
    """A recording with a next session, which is the same again."""
    recording, truth = tetrode
    data = tmp_path_factory.mktemp("data")
    for name in ("one", "one/next_session"):
        recording.save(folder=data / name / "recording", progress_bar=False, verbose=False)
        truth.save(folder=data / name / "sorting")
    return data


@pytest.fixture(scope="module")
def output(folder, tmp_path_factory):
    """What the command leaves behind."""
    output = tmp_path_factory.mktemp("output")
    arguments = ["benchmark", "representation", str(folder), "-o", str(output), "--seeds", "0", "1"]
    assert main([*arguments, "--features", "pca", "fast"]) == 0
    return output


def test_a_folder_of_recordings_becomes_a_table_and_a_figure(output):
    table = pd.read_csv(output / "scores.csv")
    value = table.groupby(["measure", "recording", "features"])["value"].mean()
    assert table.groupby(["measure", "recording", "features"]).size().eq(2).all()  # two seeds
    assert (value["local"] > 0.5).all()
    assert set(value["local"].index.get_level_values("features")) == {"pca", "fast", "bound"}
    assert value["recall"].to_dict() == {("one", "pca"): 1.0, ("one", "fast"): 1.0}  # it is the same recording
    gain = table[table["measure"].str.startswith("denoising") & (table["features"] == "pca")]["value"]
    assert gain.notna().any() and (gain.dropna() > 1.0).all()
    text = (output / "table.md").read_text(encoding="utf8")
    assert text.count("| one | pca |") == 4 and " ± " in text
    assert (output / "representation.png").stat().st_size > 10_000


def test_what_is_there_is_kept(folder, output, monkeypatch):
    def read(path):
        raise AssertionError(f"{path} was read again")

    before = pd.read_csv(output / "scores.csv")
    monkeypatch.setattr("huidurep_sorter.benchmark.representation.report.read_known_spikes", read)
    after = run_benchmark(folder, output, ["pca", "fast"], [0, 1])
    pd.testing.assert_frame_equal(before, after)
    with pytest.raises(AssertionError, match="read again"):
        run_benchmark(folder, output, ["pca", "fast"], [2])


def test_the_default_is_all_that_is_shipped():
    assert list(choose_methods()) == ["pca", "svd", *shipped_weights()]


def test_files_of_one_name_are_told_apart_by_folder(tmp_path):
    for name in ("seed0", "seed1"):
        (tmp_path / name).mkdir()
        shutil.copy(WEIGHTS_FOLDER / "fast.safetensors", tmp_path / name / "mine.safetensors")
    files = [str(tmp_path / name / "mine.safetensors") for name in ("seed0", "seed1")]
    assert list(choose_methods(["pca", *files])) == ["pca", "seed0/mine", "seed1/mine"]
    with pytest.raises(ValueError, match="seed0/mine"):
        choose_methods([files[0], files[0]])


def test_markdown_shows_mean_and_deviation():
    rows = [("r", "pca", seed, "local", value) for seed, value in ((0, 0.5), (1, 0.7))]
    rows += [("r", "mine", seed, "denoising, collisions", np.nan) for seed in (0, 1)]
    table = pd.DataFrame(rows, columns=["recording", "features", "seed", "measure", "value"])
    text = write_markdown(table)
    assert "| r | pca |  | 0.600 ± 0.141 |" in text
    assert "Denoising" not in text  # nothing but NaN
    table.loc[2, "value"] = table.loc[3, "value"] = 4.25
    assert "| r | mine |  |  |  | 4.2 ± 0.0 |" in write_markdown(table)


def test_wrong_input_is_refused_before_any_work(folder, tmp_path, capsys):
    with pytest.raises(ValueError, match="no subfolder"):
        run_benchmark(tmp_path, tmp_path / "out")
    command = ["benchmark", "representation", str(folder), "-o", str(tmp_path / "out"), "--features"]
    assert main([*command, "pca", "nothing_such"]) == 2
    assert "nothing_such" in capsys.readouterr().err
    assert main(["benchmark", "representation", str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
