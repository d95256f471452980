import hashlib
from pathlib import Path

import numpy as np
import pytest

from huidurep_sorter.cli.main import UsageError, build_parser, main
from huidurep_sorter.cli.pretrain import CONFIGS_FOLDER, expand, find_config, name_recordings, shipped_configs
from huidurep_sorter.encoder.checkpoints import load_encoder
from huidurep_sorter.training import adaptation, own_units
from huidurep_sorter.training.config import read_config

TINY = (
    "name: mine\n"
    "data: {recordings: elsewhere}\n"
    "encoder: {n_layers: 1, n_decoder_layers: 1, strides: [4, 4]}\n"
    "batch: {scenes: 2, units_per_scene: 2, spikes_per_unit: 4}\n"
    "training: {n_steps: 2, same_neuron_weight: 0.0, contrast_weight: 1.0}"
)


def test_a_configuration_that_is_not_there_or_wrong_is_bad_usage(tmp_path, capsys):
    assert main(["pretrain", str(tmp_path / "none.yaml"), "-o", str(tmp_path / "run")]) == 2
    (tmp_path / "config.yaml").write_text("data: {recordings: here}\ntraining: {n_step: 1}")
    assert main(["pretrain", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "run")]) == 2
    assert "n_step" in capsys.readouterr().err


def test_shipped_configurations_are_readable_and_listed(capsys):
    assert shipped_configs() == ["finetune", "paper"]
    for name in shipped_configs():
        assert read_config(find_config(name)).name
    with pytest.raises(SystemExit):
        main(["pretrain", "--help"])
    assert "finetune, paper" in " ".join(capsys.readouterr().out.split())


def test_an_unknown_name_is_answered_with_the_shipped_ones():
    with pytest.raises(UsageError, match=r"'finetun'.*finetune, paper"):
        find_config("finetun")


def test_a_file_is_taken_where_no_shipped_configuration_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.yaml", "finetune"):
        (tmp_path / name).write_text(TINY)
    assert read_config(find_config("mine.yaml")).name == "mine"
    assert find_config("finetune") == CONFIGS_FOLDER / "finetune.yaml"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the recordings to train on: huidurep pretrain finetune RECORDING ... -o OUT"),
        (["nowhere"], "there is no recording nowhere"),
        (["--recordings", "nowhere"], "there is no recording nowhere"),
        (["traces.dat"], "traces.dat: a binary file doesn't say what it holds: give --sampling-frequency"),
        (
            ["--sampling-frequency", "30000", "--num-channels", "4", "--dtype", "int16", "traces.dat"],
            "traces.dat: the recording has no probe: give --probe",
        ),
        (["good", "broken"], "broken seems to be of the format spikeinterface, but can't be read"),
        (["good", "--init", "nothing"], "no weights 'nothing'"),
        (["good", "--torch-device", "gpu"], "torch_device 'gpu' isn't one of"),
        (["good", "-o", "taken"], "taken exists and holds no run of training: name another folder"),
    ],
)
def test_what_can_not_be_used_is_one_line_before_any_work(tmp_path, monkeypatch, capsys, tetrode, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good").symlink_to(tetrode[0]._kwargs["folder_path"])
    for name in ("broken", "taken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "si_folder.json").write_text("{")
    (tmp_path / "taken" / "thesis.tex").write_text("")
    np.zeros((30_000, 4), "int16").tofile("traces.dat")
    assert main(["pretrain", "finetune", "-o", "run", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_recordings_may_stand_anywhere():
    parser = build_parser()
    for words in (["one", "two", "-o", "out"], ["-o", "out", "one", "two"], ["one", "-o", "out", "two"]):
        arguments = parser.parse_args(["pretrain", "finetune", *words])
        assert arguments.recordings == [Path("one"), Path("two")]
    with pytest.raises(SystemExit):
        parser.parse_args(["pretrain", "finetune", "one", "-o", "out", "--unknown"])


def test_a_recording_is_read_with_the_options_of_sort(tmp_path):
    options = "--format binary --stream s --probe p.json --sampling-frequency 20000 --num-channels 4 --dtype int16"
    parser = build_parser()
    pretrain = vars(parser.parse_args(["pretrain", "finetune", "one", "-o", "out", *options.split()]))
    sort = vars(parser.parse_args(["sort", "one", "-o", "out", *options.split()]))
    for name in ("format", "stream", "probe", "sampling_frequency", "num_channels", "dtype"):
        assert pretrain[name] == sort[name] is not None


def test_a_folder_of_recordings_stands_for_all_of_them(tmp_path):
    for folder in ("days/monday/recording", "days/tuesday", "days/notes"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("days/monday/recording", "days/tuesday"):
        (tmp_path / folder / "si_folder.json").write_text("{}")
    paths = expand(tmp_path / "days")
    assert paths == [tmp_path / "days" / "monday" / "recording", tmp_path / "days" / "tuesday"]
    assert list(name_recordings(paths)) == ["monday", "tuesday"]
    assert expand(tmp_path / "days" / "tuesday") == [tmp_path / "days" / "tuesday"]
    assert list(name_recordings([Path("a/run"), Path("b/run")])) == ["run-1", "run-2"]


@pytest.fixture
def adapting(tetrode, monkeypatch, tmp_path):
    """Arguments that adapt in three steps to two recordings, whose sorting is the truth."""
    recording, truth = tetrode
    truth = truth.clone()
    truth.set_property("huidurep_single_unit_probability", np.ones(4))
    monkeypatch.setattr(own_units, "sort_segment", lambda *args, **kwargs: truth)
    monkeypatch.setattr(own_units, "MIN_GROUP", 2)
    text = find_config("finetune").read_text()
    (tmp_path / "quick.yaml").write_text(text.replace("n_steps: 200", "n_steps: 3").replace("scenes: 4", "scenes: 1"))
    source = recording._kwargs["folder_path"]
    return ["pretrain", str(tmp_path / "quick.yaml"), source, source, "-o", str(tmp_path / "run")]


def test_weights_that_are_better_are_written_with_a_card(adapting, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setattr(adaptation.Comparison, "is_better", True)
    monkeypatch.setattr("sys.argv", ["huidurep", *adapting])
    assert main([*adapting, "--torch-device", "cpu"]) == 0
    out, err = capsys.readouterr()
    weights = tmp_path / "run" / "mine.safetensors"
    assert f"huidurep sort RECORDING -o OUT --weights {weights}" in out
    assert "| all | 8 |" in out
    assert "3/3" in err and "(recording 2 of 2)" in caplog.text  # one sees that it lives
    assert load_encoder(weights, "cpu").config == load_encoder("fast", "cpu").config
    card = weights.with_suffix(".md").read_text()
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in card
    assert "huidurep pretrain" in card and "4 channels, 10 s" in card and "gain: " in card


def test_weights_that_are_not_better_are_not_written_unless_asked_for(adapting, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(adaptation.Comparison, "is_better", False)
    assert main(adapting) == 1
    assert "not better than before: no weights are written (--keep writes them)" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("*.safetensors"))
    assert main([*adapting, "--keep"]) == 0  # goes on from the checkpoint, which is the end
    assert "it is not better" in (tmp_path / "run" / "mine.md").read_text()


def test_one_command_trains_an_encoder(tmp_path, tetrode, capsys):
    recording, _ = tetrode
    recording.save(folder=tmp_path / "data" / "one", progress_bar=False, verbose=False)
    (tmp_path / "config.yaml").write_text(TINY)
    arguments = ["--recordings", str(tmp_path / "data"), "-o", str(tmp_path / "run"), "--torch-device", "cpu"]
    assert main(["pretrain", str(tmp_path / "config.yaml"), *arguments]) == 0
    assert str(tmp_path / "run" / "mine.safetensors") in capsys.readouterr().out
    assert load_encoder(tmp_path / "run" / "mine.safetensors", "cpu").config.n_layers == 1
