"""From matched spikes to units: merges, duplicates, what is no neuron, and what a curator wants to know."""

import numpy as np

from huidurep_sorter.templates import as_spike_vector


def merge_units(recording, templates, spikes, noise_levels, job_kwargs=None):
    """Merge units of similar template whose spikes keep a common refractory period.

    Returns
    -------
    sorting : NumpySorting
    """
    from spikeinterface.core import NumpySorting
    from spikeinterface.sorters.internal.spyking_circus2 import final_cleaning_circus

    vector = as_spike_vector(spikes["sample_index"], spikes["cluster_index"], spikes["segment_index"])
    sorting = NumpySorting(vector, recording.sampling_frequency, templates.unit_ids)
    analyzer = final_cleaning_circus(
        recording,
        sorting,
        templates,
        amplitude_scalings=spikes["amplitude"],
        noise_levels=noise_levels,
        similarity_kwargs={"method": "l1", "support": "union", "max_lag_ms": 0.5},
        sparsity_overlap=0.5,
        censor_ms=3.0,
        max_distance_um=50,
        template_diff_thresh=np.arange(0.05, 0.4, 0.05),
        job_kwargs=job_kwargs or {},
    )
    return NumpySorting.from_sorting(analyzer.sorting)
