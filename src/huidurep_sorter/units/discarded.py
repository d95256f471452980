"""Units that a user doesn't get, and why: a table."""

import numpy as np
import pandas as pd

COLUMNS = ["reason", "num_spikes", "template_norm", "channel_index"]


def list_discarded(units, reasons, norms=None):
    """List the units that have a reason; those that have lost all their spikes aren't listed.

    Parameters
    ----------
    units : Spikes
    reasons : list of (str or None)
        Of each unit; None for one that is kept.
    norms : (n_units,) float, optional
        Of their templates, in units of noise; NaN where nobody knows them.

    Returns
    -------
    discarded : DataFrame
        A row a unit: `reason`, `num_spikes`, `template_norm`, `channel_index`.
    """
    norms, counts = np.full(units.n_units, np.nan) if norms is None else norms, units.counts()
    labels, first = np.unique(units.label, return_index=True)
    listed = zip(labels, units.channel_index[first], strict=True)
    return as_table([(reasons[u], counts[u], norms[u], channel) for u, channel in listed if reasons[u] is not None])


def as_table(rows):
    """Make a table of rows, each (reason, num_spikes, template_norm, channel_index)."""
    types = dict(reason="str", num_spikes="int64", template_norm="float64", channel_index="int64")
    return pd.DataFrame(rows, columns=COLUMNS).astype(types)
