"""Footprints of an invented kind, for a simulation that needs no data."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def footprint_file(tmp_path_factory):
    """Three units with a trough of their own width on a grid of sites, whose voltage decays with distance."""
    x, y = (a.ravel() for a in np.meshgrid(np.arange(-60.0, 61, 12), np.arange(-60.0, 61, 12)))
    t = np.arange(120)[:, None] - 40
    waveforms = []
    for width, reach in ((3.0, 20.0), (6.0, 28.0), (9.0, 35.0)):
        shape = -np.exp(-0.5 * (t / width) ** 2) + 0.35 * np.exp(-0.5 * ((t - 4 * width) / (2 * width)) ** 2)
        waveforms.append(100 * shape * np.exp(-np.hypot(x, y) / reach))
    path = tmp_path_factory.mktemp("footprints") / "units.npz"
    np.savez(path, waveform=np.array(waveforms, dtype="float32"), x_um=x, y_um=y, n_before=np.full(3, 40))
    return path
