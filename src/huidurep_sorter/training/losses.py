"""The losses of pretraining, and what tells whether a representation collapses."""

import torch
from torch.nn import functional as F


def info_nce(queries, keys, temperature=0.2):
    """Compute the InfoNCE of MoCo-v3 (Chen et al. 2021): each query must find its own key among those of the batch.

    Parameters
    ----------
    queries, keys : (n, d)
        Row i of both is of the same spike; keys carry no gradient.
    temperature : float
        0.2 is that of MoCo-v3. The loss is scaled by twice the temperature, as there.
    """
    logits = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T / temperature
    return 2 * temperature * F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def same_neuron(features, label, temperature=0.1):
    """Compute the supervised contrast of Khosla et al. (2020): spikes of one neuron attract, all others repel.

    Parameters
    ----------
    features : (n, d)
    label : (n,) int64
        A spike alone with its label counts as a negative only.
    """
    features = F.normalize(features, dim=1)
    own = torch.eye(len(label), dtype=torch.bool, device=label.device)
    logits = (features @ features.T / temperature).masked_fill(own, float("-inf"))
    log_probability = logits - logits.logsumexp(dim=1, keepdim=True)
    same = (label[:, None] == label[None]) & ~own
    count = same.sum(dim=1)
    mean = log_probability.masked_fill(~same, 0.0).sum(dim=1) / count.clamp(min=1)
    return -mean[count > 0].mean() if (count > 0).any() else features.sum() * 0.0


def own_centroid(features, label, temperature=0.05):
    """Compute how far each spike is from lying nearer its own neuron's centroid than all others.

    It is the generalized end-to-end loss of speaker verification (Wan et al. 2018, arXiv 1710.10467). A spike is left
    out of its own neuron's centroid. Where `same_neuron` asks for similar pairs, this asks for what a mixture needs to
    find neurons: compact clusters around their means.

    Parameters
    ----------
    features : (n, d)
    label : (n,) int64
        A spike alone with its label is a centroid for the others only.
    """
    features = F.normalize(features, dim=1)
    member = F.one_hot(label).to(features.dtype)
    total = member.T @ features
    others = total[label] - features
    logits = features @ F.normalize(total, dim=1).T
    own = (features * F.normalize(others, dim=1)).sum(dim=1, keepdim=True)
    logits = torch.where(member.bool(), own, logits) / temperature
    paired = member.sum(dim=0)[label] > 1
    return F.cross_entropy(logits[paired], label[paired]) if paired.any() else features.sum() * 0.0


def distillation(features, target):
    """Compute the mean squared distance to a teacher's representation of the same spike, on the unit sphere.

    Parameters
    ----------
    features, target : (n, d)
    """
    return (2 - 2 * F.cosine_similarity(features, target, dim=1)).mean()


def alignment(features, label):
    """Compute the mean squared distance of spikes with one label, on the unit sphere (Wang and Isola 2020)."""
    features = F.normalize(features, dim=1)
    same = torch.triu(label[:, None] == label[None], diagonal=1)
    return (2 - 2 * (features @ features.T)[same]).mean() if same.any() else torch.tensor(float("nan"))


def uniformity(features):
    """Compute the logarithm of the mean Gaussian potential of pairs, on the unit sphere; lower is more uniform."""
    return torch.pdist(F.normalize(features, dim=1)).pow(2).mul(-2).exp().mean().log()  # -2: Wang and Isola's t


def effective_rank(features):
    """Compute the exponential of the entropy of the covariance's spectrum (Roy and Vetterli 2007), from 1 to d."""
    spectrum = torch.linalg.svdvals(features - features.mean(dim=0)).pow(2)
    p = spectrum / spectrum.sum().clamp(min=1e-12)
    return (-(p * p.clamp(min=1e-12).log()).sum()).exp()
