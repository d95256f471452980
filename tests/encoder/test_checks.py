"""Files of weights that are damaged, or made to harm: refused at once, with the file's name and what is wrong."""

import json
import time
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from huidurep_sorter import load_encoder
from huidurep_sorter.encoder.network import EncoderConfig, HuiduRep

CONFIG = asdict(EncoderConfig(n_layers=1, n_decoder_layers=1))
STATE = HuiduRep(EncoderConfig(**CONFIG)).state_dict()


def refused(path, state=STATE, config=CONFIG):
    """Write such a file and return the message with which it is refused, in seconds."""
    state = {name: tensor.contiguous().clone() for name, tensor in state.items()}
    save_file(state, path, {"config": config if isinstance(config, str) else json.dumps(config)})
    start = time.perf_counter()
    with pytest.raises(ValueError) as caught:
        load_encoder(path, device="cpu")
    assert time.perf_counter() - start < 10
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_layers", 10**9, "n_layers is 1000000000"),
        ("n_layers", 5, "5 layers of the transformer, the tensors have 1"),
        ("n_layers", 0, "n_layers must be a whole number"),
        ("n_layers", True, "n_layers must be a whole number"),
        ("n_decoder_layers", 10**9, "n_decoder_layers"),
        ("n_decoder_layers", 0, "0 layers of the decoder"),
        ("d_model", 10**9, "conv1.weight has the shape"),
        ("d_model", -64, "d_model"),
        ("d_feedforward", 10**30, "file.safetensors"),
        ("d_feedforward", 10**12, "linear1"),
        ("n_features", "32", "n_features must be a whole number"),
        ("n_heads", 0, "n_heads"),
        ("n_heads", 7, "n_heads"),
        ("n_samples", 10**9, "n_samples"),
        ("n_samples", 122, "positions has the shape"),
        ("n_before", 121, "n_before"),
        ("n_before", -1, "n_before"),
        ("n_channels", None, "n_channels"),
        ("kernels", [5], "kernels"),
        ("kernels", 5, "kernels"),
        ("kernels", [4, 3], "odd"),
        ("strides", [10**9, 1], "strides"),
        ("sampling_frequency", 0, "sampling_frequency"),
        ("sampling_frequency", 1e300, "sampling_frequency"),
        ("input_scale", float("nan"), "input_scale"),
        ("input_scale", float("inf"), "input_scale"),
        ("unit_length", "yes", "unit_length must be true or false"),
        ("geometry", True, "lacks the tensor geometry"),
        ("n_layer", 1, "doesn't know: n_layer"),
    ],
)
def test_an_impossible_configuration_is_refused_at_once(tmp_path, name, value, message):
    assert message in refused(tmp_path / "file.safetensors", config=CONFIG | {name: value})


@pytest.mark.parametrize("config", ["[1]", "3", "null", '"text"', "{", "[" * 100_000, "NaN"])
def test_a_configuration_that_is_none_is_refused(tmp_path, config):
    refused(tmp_path / "file.safetensors", config=config)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    bad = STATE["representation.weight"].double().clone()
    bad[1, 2] = value
    message = refused(tmp_path / "file.safetensors", STATE | {"representation.weight": bad})
    assert "representation.weight holds values that are NaN or infinite" in message


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8, torch.complex64])
def test_weights_that_are_no_floats_are_refused(tmp_path, dtype):
    message = refused(tmp_path / "file.safetensors", STATE | {"conv1.bias": torch.zeros(64, dtype=dtype)})
    assert "conv1.bias holds torch." in message


def test_weights_of_another_shape_and_unknown_ones_are_refused(tmp_path):
    path = tmp_path / "file.safetensors"
    assert "conv1.bias has the shape (63,)" in refused(path, STATE | {"conv1.bias": torch.zeros(63)})
    assert "no such encoder has: more" in refused(path, STATE | {"more": torch.zeros(1)})
    assert "lacks the tensor conv1.bias" in refused(path, {k: v for k, v in STATE.items() if k != "conv1.bias"})


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 8, b"\xff" * 100])
def test_what_is_no_safetensors_is_refused_by_name(tmp_path, content):
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="file.safetensors is damaged or no safetensors"):
        load_encoder(path, device="cpu")


def test_a_huge_file_is_refused_at_once(tmp_path):
    path = tmp_path / "huge.pt"
    with path.open("wb") as file:
        file.truncate(10**11)  # sparse: takes no room
    with pytest.raises(ValueError, match=r"huge.pt.*100.0 GB are too many"):
        load_encoder(path, device="cpu")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"conv_embedding.block.0.bias": torch.full((64,), torch.nan)}, "conv1.bias holds values"),
        ({"conv_embedding.block.0.bias": torch.zeros(1).expand(10**12)}, "GB are too many"),
        ({"conv_embedding.block.0.weight": torch.zeros(64)}, "authors.pt"),
        ({"conv_embedding.block.0.weight": "text"}, "authors.pt"),
        ({"encoder_q.transformer.layers.999999999.linear1.bias": torch.zeros(1)}, "lacks the tensor"),
        ({"encoder_q.transformer.layers.x": torch.zeros(1)}, "authors.pt"),
        ({"reduce_q.projection.0.bias": torch.zeros(7)}, "representation.bias has the shape"),
        ({3: torch.zeros(1), "reduce_q.projection.0.bias": None}, "authors.pt"),
    ],
)
def test_a_hostile_file_of_the_authors_kind_is_refused_at_once(tmp_path, changed, message):
    theirs = {"conv1.": "conv_embedding.block.0.", "conv2.": "conv_embedding.block.2."}
    theirs |= {"transformer.": "encoder_q.transformer.", "representation.": "reduce_q.projection.0."}
    state = {new + k.removeprefix(old): v for k, v in STATE.items() for old, new in theirs.items() if k.startswith(old)}
    torch.save(state, tmp_path / "authors.pt")
    load_encoder(tmp_path / "authors.pt", device="cpu")
    torch.save(state | changed, tmp_path / "authors.pt")
    start = time.perf_counter()
    with pytest.raises(ValueError, match=message) as caught:
        load_encoder(tmp_path / "authors.pt", device="cpu")
    assert "authors.pt" in str(caught.value) and time.perf_counter() - start < 10
