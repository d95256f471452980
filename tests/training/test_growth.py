"""A deeper encoder that begins where the shallow one ended."""

from dataclasses import replace

import pytest
import torch

from huidurep_sorter.encoder.network import EncoderConfig, HuiduRep
from huidurep_sorter.training.growth import can_grow, grow

SMALL = EncoderConfig(kernels=(9, 7), strides=(4, 8), d_model=16, n_heads=2, d_feedforward=32, n_layers=2)


@pytest.fixture
def shallow():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = HuiduRep(SMALL)
        for layer in model.transformer.layers:  # as after training: norms that scale and shift
            torch.nn.init.uniform_(layer.norm2.weight, 0.3, 2.0)
            torch.nn.init.uniform_(layer.norm2.bias, -1.0, 1.0)
        return model


def snippets():
    return torch.randn(20, 121, 11, generator=torch.Generator().manual_seed(1))


def test_a_grown_encoder_represents_and_denoises_as_before(shallow):
    grown = grow(shallow, 6)
    assert len(grown.transformer.layers) == 6 and grown.config == replace(SMALL, n_layers=6)
    with torch.no_grad():
        before, after = shallow.tokens(snippets()), grown.tokens(snippets())
        torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(grown.represent(after), shallow.represent(before), atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(grown.reconstruct(after), shallow.reconstruct(before), atol=1e-2, rtol=1e-2)


def test_its_new_layers_can_learn(shallow):
    grown = grow(shallow, 6)
    grown(snippets()).pow(2).mean().backward()
    for layer in grown.transformer.layers:
        assert layer.linear2.weight.grad.abs().max() > 0
        assert layer.self_attn.out_proj.weight.grad.abs().max() > 0


def test_only_depth_may_differ():
    shallow = HuiduRep(SMALL)
    assert can_grow(shallow, replace(SMALL, n_layers=3))
    assert not can_grow(shallow, SMALL)
    assert not can_grow(shallow, replace(SMALL, n_layers=1))
    assert not can_grow(shallow, replace(SMALL, n_layers=3, d_model=32))
