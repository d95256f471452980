import pytest

from huidurep_sorter.cli.main import UsageError, main
from huidurep_sorter.cli.pretrain import CONFIGS_FOLDER, find_config, shipped_configs
from huidurep_sorter.encoder.checkpoints import load_encoder
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
        assert read_config(find_config(name)).data.recordings
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


def test_recordings_that_are_not_there_are_bad_usage(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", "finetune", "--init", "fast", "-o", "run"]) == 2
    assert "'recordings': name yours with --recordings FOLDER" in capsys.readouterr().err
    assert main(["pretrain", "finetune", "--recordings", "nowhere", "-o", "run"]) == 2
    assert "'nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_one_command_trains_an_encoder(tmp_path, tetrode, capsys):
    recording, _ = tetrode
    recording.save(folder=tmp_path / "data" / "one", progress_bar=False, verbose=False)
    (tmp_path / "config.yaml").write_text(TINY)
    arguments = ["--recordings", str(tmp_path / "data"), "-o", str(tmp_path / "run"), "--torch-device", "cpu"]
    assert main(["pretrain", str(tmp_path / "config.yaml"), *arguments]) == 0
    assert str(tmp_path / "run" / "mine.safetensors") in capsys.readouterr().out
    assert load_encoder(tmp_path / "run" / "mine.safetensors", "cpu").config.n_layers == 1
