import numpy as np
import pytest
import torch

from huidurep_sorter.encoder.network import Encoder, EncoderConfig, HuiduRep, sinusoids

SMALL = EncoderConfig(n_layers=2, n_decoder_layers=1)
FAST = EncoderConfig(
    kernels=(9, 7),
    strides=(2, 4),
    n_layers=2,
    n_decoder_layers=1,
    geometry=True,
    unit_length=True,
    input_scale=0.1,
)


@pytest.fixture
def snippets():
    return np.random.default_rng(0).normal(size=(7, 121, 11)).astype("float32")


def make_encoder(config, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Encoder(HuiduRep(config), "cpu")


def test_the_default_configuration_is_the_papers():
    model = HuiduRep(EncoderConfig())
    assert model.conv1.weight.shape == (64, 11, 5) and model.conv2.weight.shape == (64, 64, 3)
    assert len(model.transformer.layers) == 16
    assert model.tokens(torch.zeros(2, 121, 11)).shape == (2, 121, 64)
    assert model(torch.zeros(2, 121, 11)).shape == (2, 32)


def test_positions_are_sinusoidal():
    positions = sinusoids(121, 64).numpy()
    for t, i in ((0, 0), (5, 0), (120, 31)):
        angle = t / 10000 ** (2 * i / 64)
        np.testing.assert_allclose(positions[t, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-5)


def test_embedding_does_not_depend_on_the_batch(snippets):
    encoder = make_encoder(SMALL)
    np.testing.assert_allclose(encoder.embed(snippets), encoder.embed(snippets, batch_size=2), atol=1e-5)
    assert encoder.embed(snippets).dtype == np.float32
    assert encoder.embed(snippets[:0]).shape == (0, 32)


def test_denoised_snippets_have_the_shape_of_the_input(snippets):
    offsets = np.zeros((11, 2))
    assert make_encoder(SMALL).denoise(snippets).shape == snippets.shape
    assert make_encoder(FAST).denoise(snippets, offsets_um=offsets).shape == snippets.shape


def test_unit_length_and_geometry(snippets):
    encoder = make_encoder(FAST)
    near, far = np.zeros((11, 2)), np.full((11, 2), 40.0)
    features = encoder.embed(snippets, offsets_um=near)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, atol=1e-5)
    assert np.abs(features - encoder.embed(snippets, offsets_um=far)).max() > 1e-3
    missing = near.copy()
    missing[5:] = np.nan
    assert np.isfinite(encoder.embed(snippets, offsets_um=missing)).all()


def test_wrong_input_is_named(snippets):
    encoder = make_encoder(SMALL)
    with pytest.raises(ValueError, match=r"\(n, 121, 11\)"):
        encoder.embed(snippets[:, :100])
    with pytest.raises(ValueError, match="not finite"):
        encoder.embed(np.full((1, 121, 11), np.nan))
    with pytest.raises(ValueError, match="offsets_um"):
        make_encoder(FAST).embed(snippets)
    with pytest.raises(ValueError, match="no decoder"):
        make_encoder(EncoderConfig(n_layers=1, n_decoder_layers=0)).denoise(snippets)


def test_a_full_device_halves_the_batch(snippets, monkeypatch):
    encoder = make_encoder(SMALL)
    expected, whole, sizes = encoder.embed(snippets), encoder.model.forward, []

    def forward(x, offsets=None):
        sizes.append(len(x))
        if len(x) > 2:
            raise torch.cuda.OutOfMemoryError("full")
        return whole(x, offsets)

    monkeypatch.setattr(encoder.model, "forward", forward)
    np.testing.assert_allclose(encoder.embed(snippets, batch_size=7), expected, atol=1e-5)
    assert sizes[:3] == [7, 4, 2]


def test_embedding_leaves_the_global_generator_alone(snippets):
    before = torch.random.get_rng_state()
    make_encoder(SMALL).embed(snippets)
    assert torch.equal(before, torch.random.get_rng_state())
