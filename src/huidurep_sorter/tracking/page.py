"""The page that shows which units of several sessions are one neuron; it needs no other file."""

import matplotlib
import numpy as np

from huidurep_sorter.report.figures import STYLE, as_image
from huidurep_sorter.report.page import load_template
from huidurep_sorter.tracking.figures import LIMITS, draw_neuron, draw_overview


def make_page(tracked, title):
    """Make the page of tracked units, a text of HTML."""
    names, units = list(tracked.shifts_um), tracked.units
    neurons = [list_neuron(rows, names) for _, rows in units.groupby("neuron")]
    neurons.sort(key=lambda neuron: (-neuron["n_sessions"], neuron["number"]))
    followed = [neuron for neuron in neurons if neuron["n_sessions"] > 1]
    with matplotlib.rc_context(STYLE):
        overview = as_image(draw_overview(tracked)) if len(units) else None
        drawn = [
            dict(neuron, image=as_image(draw_neuron(tracked, neuron["number"])))
            for neuron in followed[: LIMITS.max_neurons]
        ]
    return load_template("tracking/page.html.jinja").render(
        title=title,
        names=names,
        n_units=len(units),
        shifts={name: f"{shift:+.1f}" for name, shift in tracked.shifts_um.items()},
        counts=[sum(neuron["n_sessions"] == n for neuron in neurons) for n in range(len(names) + 1)],
        neurons=neurons,
        followed=drawn,
        n_left=len(followed) - len(drawn),
        overview=overview,
    )


def list_neuron(rows, names):
    """List what the page tells of a neuron, from its rows of `TrackedUnits.units`."""
    of_session = dict(zip(rows["session"], rows["unit_id"], strict=True))
    return dict(
        number=int(rows["neuron"].iloc[0]),
        n_sessions=len(rows),
        probability="" if len(rows) == 1 else f"{rows['probability'].iloc[0]:.2f}",
        units=[str(of_session.get(name, "")) for name in names],
        x=f"{np.mean(rows['x']):.0f}",
        y=f"{np.mean(rows['y']):.0f}",
    )
