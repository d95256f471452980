"""A deeper encoder that begins where the shallow one ended."""

from dataclasses import replace

import pytest
import torch

from huidurep_sorter.encoder import EncoderConfig, HuiduRep
from huidurep_sorter.pretraining.growth import can_grow, grow

SMALL = EncoderConfig(kernels=(9, 7), strides=(4, 8), d_model=16, n_heads=2, d_feedforward=32, n_layers=2)


@pytest.fixture
def shallow():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return HuiduRep(SMALL)


def snippets():
    return torch.randn(20, 121, 11, generator=torch.Generator().manual_seed(1))


def test_a_grown_encoder_represents_nearly_as_before(shallow):
    grown = grow(shallow, 6)
    assert len(grown.transformer.layers) == 6 and grown.config == replace(SMALL, n_layers=6)
    with torch.no_grad():
        before, after = shallow(snippets()), grown(snippets())
    assert torch.cosine_similarity(before, after).min() > 0.99
    torch.testing.assert_close(after, before, atol=0.05 * float(before.abs().max()), rtol=0.0)


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
