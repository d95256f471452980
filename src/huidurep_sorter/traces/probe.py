"""The geometry of the probe: on a plane, and which channels are near each other."""

import logging

import numpy as np
from probeinterface import Probe, ProbeGroup

logger = logging.getLogger(__name__)


def flat_locations(recording):
    """Give channel locations on a plane, (n_channels, 2), of a 3-D probe along its two axes of largest extent."""
    if not recording.has_3d_probe():
        return recording.get_channel_locations()
    locations = recording.get_channel_locations(axes="xyz")
    return locations[:, plane_axes(locations)]


def plane_axes(locations):
    """Give the indices of the two axes of largest extent, in their order."""
    return np.sort(np.argsort(-np.ptp(locations, axis=0), kind="stable")[:2])


def flatten_probe(recording):
    """Give the recording with 2-D probes, itself if it has them."""
    if not recording.has_3d_probe():
        return recording
    axes = "".join("xyz"[axis] for axis in plane_axes(recording.get_channel_locations(axes="xyz")))
    logger.info("3-D probe: its %s plane is used", axes)
    probes = ProbeGroup()
    for probe in recording.get_probegroup().probes:
        probes.add_probe(probe.to_2d(axes=axes))
    groups = recording.get_channel_groups()
    recording = recording.clone()
    recording.set_probegroup(probes, check_overlap=False)
    recording.set_property("group", groups)
    return recording


def one_probe(recording):
    """Give the probe of a recording; of several probes, one that has all their contacts where they are."""
    if len(recording.get_probes()) == 1:
        return recording.get_probe()
    probe = Probe(ndim=2, si_units="um")
    shanks = np.asarray(recording.get_channel_groups()).astype(str)
    locations = recording.get_channel_locations()
    probe.set_contacts(locations, shapes="circle", shape_params={"radius": 1.0}, shank_ids=shanks)
    probe.set_device_channel_indices(np.arange(len(locations)))
    return probe


def channels_within(recording, radius_um):
    """Say which channels are of one shank and at most `radius_um` apart, (n_channels, n_channels) bool."""
    locations, shanks = recording.get_channel_locations()[:, :2], np.asarray(recording.get_channel_groups())
    distance = np.linalg.norm(locations[:, None] - locations[None], axis=2)
    return (distance <= radius_um) & (shanks[:, None] == shanks[None])
