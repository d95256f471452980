"""Loading of encoders; the authors' file is built here by its names and shapes, and run by a plain reference."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from huidurep_sorter import load_encoder
from huidurep_sorter.encoder.checkpoints import WEIGHTS_FOLDER, choose_device, save_encoder, shipped_weights
from huidurep_sorter.encoder.network import EncoderConfig, HuiduRep


def authors_state(n_layers, seed=0):
    """A random state dict with the names and shapes of the authors' file."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator) * 0.1

    state = {
        "conv_embedding.block.0.weight": random(64, 11, 5),
        "conv_embedding.block.0.bias": random(64),
        "conv_embedding.block.2.weight": random(64, 64, 3),
        "conv_embedding.block.2.bias": random(64),
        "conv_embedding.fc.weight": random(64, 64),
        "conv_embedding.shortcut.weight": random(64, 11, 1),
        "encoder_q.embedding.weight": random(64, 64),
        "encoder_q.encoder_layer.linear1.weight": random(128, 64),
        "reduce_q.projection.0.weight": random(32, 64),
        "reduce_q.projection.0.bias": random(32),
        "proj_q.0.weight": random(256, 32),
        "prediction.0.weight": random(256, 5),
        "spike_decoder.layers.0.linear1.weight": random(128, 64),
        "feature_decoder.weight": random(11, 64),
    }
    angle = np.arange(121)[:, None] / 10000 ** (np.arange(0, 64, 2) / 64)
    pe = np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(121, 64)
    state["encoder_q.positional_encoding.pe"] = torch.from_numpy(pe.astype("float32"))[None]
    for i in range(n_layers):
        layer = {
            "self_attn.in_proj_weight": random(192, 64),
            "self_attn.in_proj_bias": random(192),
            "self_attn.out_proj.weight": random(64, 64),
            "self_attn.out_proj.bias": random(64),
            "linear1.weight": random(128, 64),
            "linear1.bias": random(128),
            "linear2.weight": random(64, 128),
            "linear2.bias": random(64),
            "norm1.weight": 1 + random(64),
            "norm1.bias": random(64),
            "norm2.weight": 1 + random(64),
            "norm2.bias": random(64),
        }
        state |= {f"encoder_q.transformer.layers.{i}.{k}": v for k, v in layer.items()}
    return state | {k.replace("encoder_q", "encoder_k"): v + 1 for k, v in state.items() if "encoder_q" in k}


def reference_embedding(state, snippet):
    """The paper's encoder on one snippet (121, 11), in plain numpy and float64."""
    w = {k: v.double().numpy() for k, v in state.items()}

    def convolve(x, weight, bias):
        reach = weight.shape[2] // 2
        padded = np.pad(x, ((reach, reach), (0, 0)))
        out = [sum(weight[:, :, k] @ padded[t + k] for k in range(weight.shape[2])) + bias for t in range(len(x))]
        return np.maximum(out, 0)

    def norm(x, prefix):
        x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        return x * w[prefix + ".weight"] + w[prefix + ".bias"]

    x = convolve(snippet, w["conv_embedding.block.0.weight"], w["conv_embedding.block.0.bias"])
    x = convolve(x, w["conv_embedding.block.2.weight"], w["conv_embedding.block.2.bias"])
    for t in range(121):
        for i in range(32):
            x[t, 2 * i] += np.sin(t / 10000 ** (2 * i / 64))
            x[t, 2 * i + 1] += np.cos(t / 10000 ** (2 * i / 64))
    n_layers = len({k.split(".")[3] for k in w if k.startswith("encoder_q.transformer.layers.")})
    for layer in range(n_layers):
        p = f"encoder_q.transformer.layers.{layer}."
        q, k, v = np.split(x @ w[p + "self_attn.in_proj_weight"].T + w[p + "self_attn.in_proj_bias"], 3, axis=1)
        heads = []
        for h in range(4):
            s = slice(16 * h, 16 * h + 16)
            score = np.exp(q[:, s] @ k[:, s].T / 4.0)
            heads.append(score / score.sum(axis=1, keepdims=True) @ v[:, s])
        attended = np.hstack(heads) @ w[p + "self_attn.out_proj.weight"].T + w[p + "self_attn.out_proj.bias"]
        x = norm(x + attended, p + "norm1")
        hidden = np.maximum(x @ w[p + "linear1.weight"].T + w[p + "linear1.bias"], 0)
        x = norm(x + hidden @ w[p + "linear2.weight"].T + w[p + "linear2.bias"], p + "norm2")
    return x.mean(axis=0) @ w["reduce_q.projection.0.weight"].T + w["reduce_q.projection.0.bias"]


@pytest.mark.parametrize("n_layers", [15, 16])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {"model_state_dict": s, "epoch": 3},
    ],
    ids=["plain", "module", "wrapped"],
)
def test_the_authors_checkpoint_loads(tmp_path, n_layers, wrap):
    state = authors_state(n_layers)
    torch.save(wrap(state), tmp_path / "HuiduRep.pt")
    encoder = load_encoder(tmp_path / "HuiduRep.pt", device="cpu")
    assert encoder.config.n_layers == n_layers
    snippets = np.random.default_rng(1).normal(size=(2, 121, 11)).astype("float32")
    expected = [reference_embedding(state, s.astype("float64")) for s in snippets]
    np.testing.assert_allclose(encoder.embed(snippets), expected, atol=2e-4)


def test_nothing_but_tensors_is_unpickled(tmp_path):
    class Harm:
        def __reduce__(self):
            return (print, ("harm",))

    torch.save({"state_dict": Harm()}, tmp_path / "harm.pt")
    with pytest.raises(ValueError, match="tensors only"):
        load_encoder(tmp_path / "harm.pt", device="cpu")


def test_another_state_dict_is_refused_by_name(tmp_path):
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="conv_embedding.block.0.weight"):
        load_encoder(tmp_path / "other.pt", device="cpu")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="not a state dict"):
        load_encoder(tmp_path / "list.pt", device="cpu")


def test_missing_and_damaged_weights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="shipped"):
        load_encoder("no_such_weights", device="cpu")
    (tmp_path / "broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match="damaged"):
        load_encoder(tmp_path / "broken.safetensors", device="cpu")


def test_what_is_saved_loads_again(tmp_path):
    model = HuiduRep(EncoderConfig(kernels=(9, 7), strides=(2, 4), n_layers=1, unit_length=True))
    save_encoder(model, tmp_path / "mine.safetensors", note="a test")
    encoder = load_encoder(tmp_path / "mine.safetensors", device="cpu")
    assert encoder.config == model.config
    snippets = np.random.default_rng(0).normal(size=(3, 121, 11)).astype("float32")
    np.testing.assert_allclose(encoder.embed(snippets), model.eval()(torch.from_numpy(snippets)).detach(), atol=1e-5)
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.safetensors"]


def test_weights_that_do_not_fit_their_configuration_are_refused(tmp_path):
    config = {"n_layers": 1, "n_decoder_layers": 0}
    save_file({"conv1.bias": torch.zeros(64)}, tmp_path / "few.safetensors", {"config": json.dumps(config)})
    save_file({"conv1.bias": torch.zeros(64)}, tmp_path / "odd.safetensors", {"config": '{"n_layer": 1}'})
    for name in ("few", "odd"):
        with pytest.raises(ValueError, match="don't fit"):
            load_encoder(tmp_path / f"{name}.safetensors", device="cpu")


def test_shipped_weights_load_and_carry_their_card():
    assert "fast" in shipped_weights()
    assert (WEIGHTS_FOLDER / "LICENSE").exists()
    for name in shipped_weights():
        encoder = load_encoder(name, device="cpu")
        snippets = np.random.default_rng(0).normal(size=(2, 121, 11)).astype("float32")
        features = encoder.embed(snippets, offsets_um=np.zeros((11, 2)))
        assert np.isfinite(features).all() and features.shape == (2, encoder.config.n_features)
        assert (WEIGHTS_FOLDER / f"{name}.md").exists()


def test_devices(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="isn't one of"):
        choose_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="isn't there"):
        choose_device("cuda:1")


def test_configuration_survives_json():
    config = EncoderConfig(strides=(2, 4))
    assert EncoderConfig(**json.loads(json.dumps(config.__dict__))) == config
