"""Bars, lines and labels stand where the numbers of the table say."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures import (
    components,
    e_above_hull,
    losses,
    num_atoms,
    settled,
    space_groups,
    style,
    waterfall,
)
from miad.report.figures.base import COMPONENTS
from miad.report.figures.space_groups import CRYSTAL_SYSTEMS


def panels(draw: Callable[[Figure, Rows], None], lines: Rows) -> list[Axes]:
    """The panels of a figure."""
    figure = Figure()
    draw(figure, lines)
    return figure.axes


def test_the_waterfall_stands_on_what_is_left():
    steps = [("attempted", 0, 10), ("failed", 4, 6), ("not_stable", 5, 1)]
    lines = [{"run": "a", "reason": reason, "dropped": goes, "left": stays} for reason, goes, stays in steps]
    [axes] = panels(waterfall.draw, lines)
    left, dropped = axes.containers
    assert [bar.get_width() for bar in left] == [10, 6, 1]
    assert [(bar.get_x(), bar.get_width()) for bar in dropped] == [(10, 0), (6, 4), (1, 5)]
    assert axes.yaxis_inverted()  # read downwards


def test_bars_of_two_runs_stand_side_by_side_and_a_rate_of_zero_can_be_drawn():
    # Wilson's interval of 0 of n begins at 0, give or take the last digit: no bar may reach below its foot.
    rate = {"percent": 0.0, "percent_low": 1e-15, "percent_high": 3.0}
    lines = [{"run": run, "component": name, **rate} for run in "ab" for name in COMPONENTS]
    lines[len(COMPONENTS)]["percent"] = 40.0
    [axes] = panels(components.draw, lines)
    first, second = (one for one in axes.containers if isinstance(one, BarContainer))
    assert [bar.get_height() for bar in second] == [40.0] + [0.0] * (len(COMPONENTS) - 1)
    for here, there in zip(first, second, strict=True):
        assert here.get_x() + here.get_width() <= there.get_x()
    assert axes.get_legend() is not None


def test_a_rate_that_is_unknown_has_no_bar():
    unknown = {"percent": None, "percent_low": None, "percent_high": None}
    lines = [{"run": "a", "component": name, **unknown} for name in COMPONENTS]
    lines[3] |= {"percent": 10.0, "percent_low": 8.0, "percent_high": 12.0}
    figure = Figure()
    components.draw(figure, lines)
    figure.draw_without_rendering()
    bars = next(one for one in figure.axes[0].containers if isinstance(one, BarContainer))
    assert [bar.get_height() for bar in bars] == pytest.approx([np.nan] * 3 + [10.0] + [np.nan] * 2, nan_ok=True)


def test_histograms_count_every_crystal_once():
    """Percent of the crystals: what lies beyond the edges is in the outermost bins, what is unknown in none."""
    values = [-9.0, -0.49, 0.01, 0.02, 0.99, 50.0, 70.0, None]
    lines = [{"run": "a", "calculator": "x", "e_above_hull": value} for value in values]
    [axes] = panels(e_above_hull.draw, lines)
    heights = axes.patches[0].get_xy()[1:-1:2, 1]  # an outline: twice every edge, and down to zero at both ends
    assert heights.sum() == pytest.approx(100) and len(heights) == 60
    assert heights[[0, 20, 59]] == pytest.approx(100 / 7 * np.array([2, 2, 3]))


def test_an_axis_of_numbers_leaves_none_out():
    lines = [{"run": "a", "num_atoms": number, "sun": "1", "attempted": "128"} for number in ("6", "8", "12")]
    [axes] = panels(num_atoms.draw, lines)
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(number) for number in range(6, 13)]
    [bars] = axes.containers
    assert [bar.get_height() for bar in bars] == [1, 0, 1, 0, 0, 0, 1]


def test_counts_of_runs_of_different_size_say_of_how_many():
    known = {"crystal_system": "cubic", "num_atoms": "2", "sun": "3"}
    lines = [{"run": "a", "attempted": "128", **known}, {"run": "b", "attempted": "10000", **known}]
    for draw in (num_atoms.draw, space_groups.draw):
        [axes] = panels(draw, lines)
        shown = [text.get_text() for text in axes.get_legend().get_texts()]
        assert shown == ["a\nof 128 attempted", "b\nof 10000 attempted"]
        [axes] = panels(draw, lines[:1])
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a\nof 128 attempted"]


def test_systems_come_in_the_order_of_symmetry_and_absent_ones_have_no_height():
    lines = [
        {"run": "a", "crystal_system": "cubic", "sun": "3", "attempted": "128"},
        {"run": "a", "crystal_system": "trigonal", "sun": "1", "attempted": "128"},
    ]
    [axes] = panels(
        space_groups.draw, [*lines, {"run": "b", "crystal_system": "cubic", "sun": "2", "attempted": "128"}]
    )
    assert [text.get_text() for text in axes.get_xticklabels()] == ["trigonal", "cubic"]
    assert [[bar.get_height() for bar in group] for group in axes.containers] == [[1, 3], [0, 2]]


def test_validation_is_drawn_where_it_was_measured_and_time_is_in_minutes():
    parts = {"lattice": "1", "coords": "1", "species": "1", "total": "3", "learning_rate": "0.1"}
    lines = [
        {"run": "a", "epoch": str(epoch), "seconds": str(90 * epoch), "val_total": "2" if epoch % 2 else None, **parts}
        for epoch in range(1, 5)
    ]
    by_epoch, by_time, *_ = panels(losses.draw, lines)
    trained, checked = by_epoch.lines
    assert list(trained.get_xdata()) == [1, 2, 3, 4] and list(checked.get_xdata()) == [1, 3]
    assert by_time.lines[0].get_xdata() == pytest.approx([1.5, 3, 4.5, 6])


def test_every_part_of_the_loss_has_a_panel_by_the_name_that_the_process_gives_it():
    """The names come from the table; a results folder made before a part was logged still draws."""
    known = {"run": "a", "step": "1", "total": "3", "val_total": "2", "learning_rate": "0.1"}
    for names in (("lattice", "coords", "species"), ("lattice", "coords", "species", "cross_entropy")):
        rows = [{**known, "epoch": str(epoch), "seconds": "9", **dict.fromkeys(names, "1")} for epoch in (1, 2)]
        shown = [axes for axes in panels(losses.draw, rows) if axes.get_visible()]
        assert [axes.get_ylabel() for axes in shown] == ["total loss", "total loss", "learning rate", *names]
    rows[0]["cross_entropy"] = None
    assert np.isnan(panels(losses.draw, rows)[7].lines[0].get_ydata()[0])


def test_a_generation_runs_from_noise_on_the_left_to_the_crystal_on_the_right():
    lines = [{"run": "a", "time": str(time), "real": str(1 - time / 1000), "mirage": "1"} for time in (1000, 500, 0)]
    [axes] = panels(settled.draw, lines)
    assert axes.xaxis_inverted()
    assert axes.lines[0].get_ydata() == pytest.approx([0, 50, 100])  # percent


def test_calculators_are_named_only_where_there_are_several():
    lines = [{"run": "a", "calculator": "CHGNet 0.3.0 (sha256:d1)"}, {"run": "a", "calculator": "DFT"}]
    assert list(style.series(lines[:1])) == ["a"]
    assert list(style.series(lines)) == ["a, CHGNet 0.3.0", "a, DFT"]


def test_two_dozen_runs_look_different():
    assert len({tuple(style.look(index).values()) for index in range(24)}) == 24
    rate = {"component": "sun", "percent": 1.0, "percent_low": 0.5, "percent_high": 2.0}
    lines = [
        {"run": str(index), "crystal_system": "cubic", "sun": "1", "attempted": "128", **rate} for index in range(24)
    ]
    for draw in (components.draw, space_groups.draw):
        [axes] = panels(draw, lines)
        bars = [group[0] for group in axes.containers if isinstance(group, BarContainer)]
        assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in bars}) == 24


def test_labels_of_systems_do_not_overlap_beside_the_legend_of_many_runs():
    figure = Figure((7.2, 3.4), layout="constrained")
    lines = [
        {"run": f"a_long_name_{run}", "crystal_system": name, "sun": "1", "attempted": "128"}
        for name in CRYSTAL_SYSTEMS
        for run in range(5)
    ]
    space_groups.draw(figure, lines)
    figure.draw_without_rendering()
    boxes = []
    for label in figure.axes[0].get_xticklabels():
        middle, turn = label.get_window_extent().get_points().mean(0), np.radians(label.get_rotation())
        label.set_rotation(0)
        along = np.array([np.cos(turn), np.sin(turn)])
        across = np.array([-along[1], along[0]])
        size = label.get_window_extent().size
        boxes.append((middle @ along, middle @ across, *size))
    for (x, y, width, height), (there_x, there_y, there_width, _) in itertools.pairwise(boxes):
        assert abs(there_x - x) >= (width + there_width) / 2 or abs(there_y - y) >= height
