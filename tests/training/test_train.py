"""Whole training runs, tiny ones."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from spikeinterface.preprocessing import scale

from huidurep_sorter import load_encoder
from huidurep_sorter.training import train
from huidurep_sorter.training.config import read_config
from huidurep_sorter.training.train import open_run, pretrain

CONFIG = """
seed: 1
name: tiny
data: {{footprints: {{"{footprints}": 1}}, validation_recordings: 1}}
encoder: {{kernels: [9, 7], strides: [4, 8], d_model: 16, n_heads: 2, d_feedforward: 32, n_layers: 1,
          n_decoder_layers: 1, geometry: true, unit_length: true, input_scale: 0.1}}
simulation: {{n_recordings: 2, duration_s: 5.0, n_channels: 16}}
batch: {{scenes: 4, units_per_scene: 4, spikes_per_unit: 4}}
training: {{n_steps: {n_steps}, warmup_steps: 5, log_every: 5, validate_every: 40, checkpoint_every: 10,
           contrast_weight: 0.2, learning_rate: 0.005}}
"""


@pytest.fixture(scope="module")
def trained(footprint_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.yaml").write_text(CONFIG.format(footprints=footprint_file, n_steps=40))
    return folder / "run", pretrain(read_config(folder / "config.yaml"), folder / "run", device="cpu")


def read_log(run, name):
    with open(run / "log.csv") as f:
        return [float(row["value"]) for row in csv.DictReader(f) if row["name"] == name]


def test_the_losses_fall_and_all_is_logged(trained):
    run, _ = trained
    for name in ("same_neuron", "reconstruction"):
        values = read_log(run, name)
        assert len(values) == 8 and values[-1] < values[0]
    for name in ("contrast", "alignment", "uniformity", "effective_rank", "validation_ari"):
        assert np.isfinite(read_log(run, name)).all() and read_log(run, name)


def test_the_result_is_an_encoder(trained):
    encoder = load_encoder(trained[1], device="cpu")
    snippets = np.zeros((2, 121, 11), dtype="float32")
    assert encoder.embed(snippets, offsets_um=np.zeros((11, 2))).shape == (2, 32)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(trained, tmp_path, monkeypatch):
    run, path = trained
    config = read_config(run.parent / "config.yaml")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data").symlink_to(run / "data")

    class Cut(Exception):
        pass

    whole = train._learning_rate

    def cut(step, t):
        if step == 23:
            raise Cut
        return whole(step, t)

    monkeypatch.setattr(train, "_learning_rate", cut)
    with pytest.raises(Cut):
        pretrain(config, tmp_path / "run", device="cpu")
    monkeypatch.setattr(train, "_learning_rate", whole)
    again = pretrain(config, tmp_path / "run", device="cpu")
    ours, theirs = load_encoder(path, "cpu").model.state_dict(), load_encoder(again, "cpu").model.state_dict()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])


def test_the_result_may_lie_between_the_trained_and_the_first_weights(trained, tmp_path):
    run, path = trained
    config = read_config(run.parent / "config.yaml")
    found = {}
    for share in (0.0, 0.25):
        folder = tmp_path / str(share)
        folder.mkdir()
        (folder / "data").symlink_to(run / "data")
        training = replace(config.training, n_steps=3, init_share=share)
        result = pretrain(replace(config, training=training), folder, init=path, device="cpu")
        found[share] = load_encoder(result, "cpu").model
    first = load_encoder(path, "cpu").model.state_dict()
    for name, trained_weights in found[0.0].named_parameters():
        expected = 0.75 * trained_weights + 0.25 * first[name]
        torch.testing.assert_close(dict(found[0.25].named_parameters())[name], expected)
    with pytest.raises(ValueError, match="init_share"):
        pretrain(replace(config, training=training), tmp_path / "nothing", device="cpu")


def test_a_folder_belongs_to_one_configuration(trained, tmp_path, footprint_file):
    (tmp_path / "other.yaml").write_text(CONFIG.format(footprints=footprint_file, n_steps=41))
    with pytest.raises(ValueError, match="another configuration"):
        pretrain(read_config(tmp_path / "other.yaml"), trained[0], device="cpu")


def test_fine_tuning_on_plain_recordings(trained, tetrode, tmp_path):
    recording, _ = tetrode
    recording.save(folder=tmp_path / "mine" / "session", progress_bar=False, verbose=False)
    (tmp_path / "config.yaml").write_text(
        f"data: {{recordings: {tmp_path / 'mine'}}}\nbatch: {{scenes: 2, units_per_scene: 4, spikes_per_unit: 4}}\n"
        "training: {n_steps: 3, warmup_steps: 1, contrast_weight: 1.0, learning_rate: 0.001}"
    )
    path = pretrain(read_config(tmp_path / "config.yaml"), tmp_path / "run", init=trained[1], device="cpu")
    before, after = load_encoder(trained[1], "cpu"), load_encoder(path, "cpu")
    assert before.config == after.config
    assert not torch.equal(before.model.conv1.weight, after.model.conv1.weight)


def test_a_deeper_encoder_grows_from_a_trained_one_and_learns_from_it(trained, tmp_path, footprint_file):
    text = CONFIG.format(footprints=footprint_file, n_steps=30).replace("n_layers: 1,", "n_layers: 3,", 1)
    text = text.replace(
        "learning_rate: 0.005", f"learning_rate: 0.001, teacher: {trained[1]}, distillation_weight: 5.0"
    )
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data").symlink_to(trained[0] / "data")
    config = read_config(tmp_path / "config.yaml")
    path = pretrain(config, tmp_path / "run", init=trained[1], device="cpu")
    assert load_encoder(path, "cpu").config.n_layers == 3
    with safe_open(path, framework="pt") as f:
        training = f.metadata()["training"]
    assert '"teacher": "tiny.safetensors"' in training and str(trained[0]) not in training
    values = read_log(tmp_path / "run", "distillation")
    assert np.mean(values[-2:]) < 5.0 * 0.5  # of at most 4: close to the teacher from the start, and stays so


def test_a_teacher_of_another_size_is_refused(trained, tmp_path, footprint_file):
    text = CONFIG.format(footprints=footprint_file, n_steps=30).replace(
        "n_layers: 1,", "n_layers: 1, n_features: 8,", 1
    )
    text = text.replace("learning_rate: 0.005", f"teacher: {trained[1]}, distillation_weight: 5.0")
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match="can't teach this encoder: its n_features is 32, not 8"):
        pretrain(read_config(tmp_path / "config.yaml"), tmp_path / "run", device="cpu")


def test_wrong_configurations_are_named(tmp_path):
    for text, message in (
        ("data: {recordings: here}\ntraining: {steps: 3}", "steps"),
        ("data: {recordings: here}\nencoder: {d_model: 30}", "n_heads"),
        ("data: {recordings: here}\ntraining: {teacher: fast}", "distillation_weight"),
    ):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_config(tmp_path / "config.yaml")


def test_a_run_without_data_or_in_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 1")
    config = read_config(tmp_path / "config.yaml")
    with pytest.raises(ValueError, match="nothing to train on"):
        open_run(config, tmp_path / "run", device="cpu")
    config = replace(config, data=replace(config.data, footprints={"some.npz": 1}))
    with pytest.raises(ValueError, match="holds no run of training"):
        open_run(config, tmp_path, device="cpu")
    assert not (tmp_path / "run").exists() and not (tmp_path / "config.json").exists()


def test_a_run_is_not_resumed_on_another_recording(tetrode, tmp_path, trained):
    recording, _ = tetrode
    (tmp_path / "config.yaml").write_text("training: {n_steps: 1}")
    config = read_config(tmp_path / "config.yaml")
    open_run(config, tmp_path / "run", trained[1], "cpu", {"mine": recording})
    open_run(config, tmp_path / "run", trained[1], "cpu", {"mine": recording})
    with pytest.raises(ValueError, match="other recordings"):
        open_run(
            config, tmp_path / "run", trained[1], "cpu", {"mine": recording.select_channels(recording.channel_ids[:3])}
        )
    with pytest.raises(ValueError, match="other recordings"):
        other = scale(recording, gain=2.0, dtype="float32")  # another day, just as long
        open_run(config, tmp_path / "run", trained[1], "cpu", {"mine": other})
