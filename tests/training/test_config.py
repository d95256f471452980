"""Configurations of training: what they hold, and what they refuse by name."""

import pytest

from huidurep_sorter.training.config import read_config

FOOTPRINTS = "data: {footprints: {some.npz: 1}}\n"


def read(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(FOOTPRINTS + text)
    return read_config(path)


def test_numbers_are_of_the_type_that_is_asked_for(tmp_path):
    config = read(tmp_path, "seed: 3.0\ntraining: {learning_rate: 2e-4, n_steps: 12, alpha: 1}\n")
    assert config.training.learning_rate == 0.0002  # a text to YAML 1.1
    assert config.seed == 3 and isinstance(config.seed, int)
    assert config.training.alpha == 1.0 and isinstance(config.training.alpha, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: a", "seed must be of type int"),
        ("seed: 1.5", "seed must be of type int"),
        ("seed: true", "seed must be of type int"),
        ("name: 3", "name must be of type str"),
        ("training: {n_steps: four}", "training, n_steps must be of type int"),
        ("training: {learning_rate: [1]}", "training, learning_rate must be of type float"),
        ("data: {use_sorting: 1}", "data, use_sorting must be of type bool"),
        ("training: {n_step: 4}", "n_step.*isn't known"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)
