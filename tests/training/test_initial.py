"""Where training starts."""

from dataclasses import replace

import pytest
import torch

from huidurep_sorter.encoder.checkpoints import save_encoder
from huidurep_sorter.encoder.network import EncoderConfig, HuiduRep
from huidurep_sorter.training.initial import initial_encoder

SMALL = EncoderConfig(kernels=(9, 7), strides=(4, 8), d_model=16, n_heads=2, d_feedforward=32, n_layers=2)


@pytest.fixture
def two_files(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        models = HuiduRep(SMALL), HuiduRep(SMALL)
    paths = [tmp_path / f"{name}.safetensors" for name in ("a", "b")]
    for model, path in zip(models, paths, strict=True):
        save_encoder(model, path)
    return models, paths


def test_nothing_named_is_nothing_to_start_from():
    assert initial_encoder(None, SMALL) is None


def test_several_start_from_their_mean_which_can_be_trained(two_files):
    (a, b), paths = two_files
    mean = initial_encoder(paths, SMALL)
    for name, value in mean.named_parameters():
        expected = (a.get_parameter(name) + b.get_parameter(name)) / 2
        torch.testing.assert_close(value, expected)
        assert value.requires_grad


def test_the_mean_grows_too(two_files):
    _, paths = two_files
    assert initial_encoder(paths, replace(SMALL, n_layers=4)).config.n_layers == 4
    assert initial_encoder(str(paths[0]), SMALL).config == SMALL


def test_other_architectures_are_not_averaged(two_files, tmp_path):
    _, paths = two_files
    save_encoder(HuiduRep(replace(SMALL, n_layers=1)), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="other and a can't be averaged"):
        initial_encoder([paths[0], tmp_path / "other.safetensors"], SMALL)
