"""What pretraining adds to the encoder: heads, and a momentum copy (MoCo-v3)."""

import copy

import torch
from torch import nn

from huidurep_sorter.encoder.network import HuiduRep

HIDDEN = 256  # width of the heads' hidden layers, as in the authors' checkpoint
PROJECTED = 5  # features that the contrast compares, as there


class ContrastiveModel(nn.Module):
    """The encoder with its projection and prediction heads, and the copies that give the keys."""

    def __init__(self, encoder: HuiduRep):
        super().__init__()
        self.encoder = encoder
        self.projection = _mlp(encoder.config.n_features, HIDDEN, HIDDEN, PROJECTED)
        self.prediction = _mlp(PROJECTED, HIDDEN, PROJECTED)
        self.encoder_k = copy.deepcopy(encoder).requires_grad_(False)
        self.projection_k = copy.deepcopy(self.projection).requires_grad_(False)

    def queries(self, features):
        """Make queries of representations, (n, n_features) -> (n, PROJECTED)."""
        return self.prediction(self.projection(features))

    @torch.no_grad()
    def keys(self, snippets, offsets_um):
        """Make keys of snippets by the momentum copies, (n, n_samples, n_channels) -> (n, PROJECTED)."""
        return self.projection_k(self.encoder_k(snippets, offsets_um))

    @torch.no_grad()
    def update_momentum(self, momentum=0.99):
        """Move the copies towards the encoder and its projection head."""
        for ours, copies in ((self.encoder, self.encoder_k), (self.projection, self.projection_k)):
            for p, k in zip(ours.parameters(), copies.parameters(), strict=True):
                k.lerp_(p, 1 - momentum)


def _mlp(*widths):
    """Build linear layers, each followed by batch norm, with ReLU between them."""
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
        layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b)]
        if i < len(widths) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)
