"""The plots: there, valid, honest about gaps, the same every time, and deaf to hostile names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from harness.evidence.measure import measure
from harness.judges import judge
from harness.reports import inline, words
from harness.reports.plots import PLOTS, plots, style
from harness.reports.plots.ladder import rungs
from harness.reports.plots.timeline import MOST_LANES, lanes, panels, thin, timeline
from harness.testing import synthetic_ladder
from harness.units import NS_PER_S
from tests.reports.samples import arrivals, empty_evidence, hostile, ladder, small_evidence, small_verdict

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def drawn() -> Mapping[str, bytes]:
    """The plots of the seeded ladder."""
    return plots(*ladder())


def words_of(svg: bytes) -> str:
    """All text in a picture; raises when it is no XML."""
    return " ".join(element.text or "" for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))


def test_every_plot_is_a_valid_svg_and_png(drawn: Mapping[str, bytes]) -> None:
    """Seven pictures, each in both formats; text in the SVG is text."""
    assert set(drawn) == {f"{name}.{form}" for name in PLOTS for form in ("svg", "png")}
    for name, content in drawn.items():
        assert content.startswith(PNG) if name.endswith("png") else words_of(content)


@pytest.mark.parametrize("name", ["latency", "load", "errors", "resources", "generator"])
def test_plots_over_time_name_stages_and_faults(drawn: Mapping[str, bytes], name: str) -> None:
    """Who looks at a spike sees which fault was in force and how many users there were."""
    text = words_of(drawn[f"{name}.svg"])
    assert {"slow-db", "freeze-payment"} <= set(text.split())
    assert "5,000 users: broke" in text


def test_latency_shows_its_limits_and_the_ladder_its_bracket(drawn: Mapping[str, bytes]) -> None:
    """The budget's lines and the break are words in the pictures."""
    assert "limit of P95: 500 ms" in words_of(drawn["latency.svg"])
    assert "breaks between 1,000 and 5,000 users" in words_of(drawn["ladder.svg"])


def test_the_resource_that_broke_has_its_panel(drawn: Mapping[str, bytes]) -> None:
    """The bottleneck's series is drawn beside its capacity, and the generator's own CPU beside the target's."""
    text = words_of(drawn["resources.svg"])
    assert "db_pool_size of api" in text
    assert "load generator" in text


def test_same_run_same_bytes(drawn: Mapping[str, bytes]) -> None:
    """No date, no random id: a picture in git changes only when the run does."""
    again = plots(*ladder(), ("resources", "ladder"))
    assert {name for name in again if drawn[name] != again[name]} == set()


def test_without_data_every_plot_says_so() -> None:
    """A run that was stopped at once gives seven pictures that say what is missing."""
    evidence = empty_evidence()
    made = plots(judge(evidence), evidence)
    for name in PLOTS:
        assert "no data" in words_of(made[f"{name}.svg"])


@pytest.mark.filterwarnings("error")
def test_hostile_names_are_drawn_as_text() -> None:
    """Dollar signs are no formulas, markup no markup, and a name of 10,000 characters is shortened."""
    verdict, evidence = hostile()
    stage = replace(evidence.windows[1], stage="_$\\frac{1}{0$ <b>")
    made = plots(verdict, replace(evidence, windows=(stage,)))
    assert "$\\frac{1}{0$" in words_of(made["percentiles.svg"])
    assert all(len(word) < 100 for name in PLOTS for word in words_of(made[f"{name}.svg"]).split())


def test_thinning_keeps_spikes_and_gaps() -> None:
    """The highest second of a bin survives, and a bin without data stays a gap."""
    y = np.full(3_000, 10.0)
    y[1_234] = 999.0
    y[2_000:2_100] = np.nan
    x, thinned = thin(np.arange(3_000.0), y, 300, peak=True)
    assert len(x) == len(thinned) <= 300
    assert np.nanmax(thinned) == 999.0
    assert np.isnan(thinned).sum() == 10


def test_few_points_are_left_alone() -> None:
    """Nothing is folded that fits."""
    x, y = np.arange(5.0), np.array([1.0, np.nan, 3.0, 2.0, 1.0])
    assert thin(x, y, 10, peak=True)[1] is y


def test_names_of_faults_in_the_strip_do_not_touch() -> None:
    """Faults at the same time get a lane each, and never more lanes than fit; beyond them bars have no name."""
    _, evidence = ladder()
    fault = evidence.faults[0]
    for count in (2, 5, 30):
        many = replace(evidence, faults=tuple(replace(fault, name=f"fault-{n}") for n in range(count)))
        used = lanes(timeline(small_verdict(), many, style.NARROW))
        assert len({place.lane for place in used}) == min(count, MOST_LANES)
        assert sum(bool(place.label) for place in used) == min(count, MOST_LANES)


def test_repetitions_in_one_lane_are_numbered() -> None:
    """The first bar of a repeated fault has its name; the others beside it need only their number."""
    _, evidence = ladder()
    fault, asked = evidence.experiment.faults[0], evidence.faults[0]
    names = [f"{fault.name}-{number}" for number in (1, 2, 3)]
    faults = tuple(replace(fault, name=name, group=fault.name) for name in names)
    spans = tuple(
        replace(asked, name=name, asked_ns=at * NS_PER_S, in_force_ns=at * NS_PER_S, over_ns=(at + 2) * NS_PER_S)
        for name, at in zip(names, (10, 40, 70), strict=True)
    )
    repeated = replace(evidence, experiment=replace(evidence.experiment, faults=faults), faults=spans, zero_ns=0)
    used = lanes(timeline(small_verdict(), repeated, style.WIDE))
    assert [(place.lane, place.label) for place in used] == [(1, "slow-db-1"), (1, "2"), (1, "3")]


def edges(axes: Axes) -> list[tuple[float, float, float | None]]:
    """The x extents and opacity of what is drawn in the faults' colour."""
    found = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == style.ORANGE]
    return [
        (box.x0, box.x1, patch.get_alpha())
        for patch in found
        for box in [patch.get_path().get_extents(patch.get_patch_transform())]
    ]


def test_bands_are_drawn_between_confirmed_edges() -> None:
    """Asked at 10 s, in force at 20 s, asked to end at 30 s, over at 40 s: the band is 20 to 40, lighter from 10."""
    verdict, evidence = ladder()
    fault = replace(
        evidence.faults[0], asked_ns=10 * NS_PER_S, in_force_ns=20 * NS_PER_S, heal_asked_ns=30 * NS_PER_S,
        over_ns=40 * NS_PER_S,
    )  # fmt: skip
    line = timeline(verdict, replace(evidence, faults=(fault,), zero_ns=0), style.WIDE)
    with style.styled():
        figure, (panel,) = panels(line, [2.0])
    strip = figure.axes[0]
    assert edges(strip) == [(10.0, 20.0, pytest.approx(0.4)), (20.0, 40.0, None)]
    assert [(start, end) for start, end, _ in edges(panel)] == [(20.0, 40.0)]


def test_a_fault_that_never_came_has_no_band() -> None:
    """It is marked where it was asked for, and called not injected; nothing is shaded."""
    verdict, evidence = ladder()
    never = tuple(replace(fault, in_force_ns=None) for fault in evidence.faults)
    line = timeline(verdict, replace(evidence, faults=never), style.WIDE)
    with style.styled():
        figure, _ = panels(line, [2.0])
    assert [edges(axes) for axes in figure.axes] == [[], []]
    svg = plots(verdict, replace(evidence, faults=never), ("latency",))["latency.svg"]
    assert "slow-db: not injected" in words_of(svg)


def test_without_a_breaking_point_the_ladder_shows_the_stages() -> None:
    """A run that only has a budget still shows load against latency."""
    verdict = replace(small_verdict(), breaking_point=None)
    assert [rung.load for rung in rungs(verdict, small_evidence())] == [10, 50]


def test_the_page_knows_every_colour_of_the_plots() -> None:
    """A colour that the dark mode does not know would stay black on black."""
    palette = {style.INK, style.FAINT, style.BAND, style.PAPER, *style.CYCLE}
    assert palette == set(inline.VARIABLES)


def test_an_aborted_run_is_drawn_as_far_as_it_came() -> None:
    """The clock of the plots ends where the run did."""

    evidence = measure(synthetic_ladder(aborted=(70.0, "guard", "errors > 10% for 30s")))
    line = timeline(judge(evidence), evidence, style.WIDE)
    assert line.end_s == pytest.approx(70.0, abs=1.0)


def test_arrivals_are_drawn_with_those_that_did_not_start() -> None:
    """Wanted, begun, hatched what found no user, and the users that were busy, under rates in the strip."""
    made = plots(*arrivals(), ("load", "ladder", "generator"))
    text = words_of(made["load.svg"])
    for told in ("not started: no user was free", "wanted", "begun", "all there may be: 500", "400/s: broke"):
        assert told in text
    assert f"morning: 50{words.NO_VALUE}300/s" in text
    assert b"<pattern" in made["load.svg"]
    assert "breaks between 200/s and 400/s" in words_of(made["ladder.svg"])
    assert "arrivals per second, and requests answered per second" in words_of(made["ladder.svg"])
    assert "worker 1 worker 2" in words_of(made["generator.svg"])


def test_without_missing_arrivals_nothing_is_hatched() -> None:
    """The legend speaks only of what is there."""
    verdict, evidence = arrivals()
    full = tuple(replace(row, not_started=0) for row in evidence.generator)
    made = plots(verdict, replace(evidence, generator=full), ("load",))
    assert "not started" not in words_of(made["load.svg"])


def test_a_limit_of_users_far_away_is_not_drawn() -> None:
    """It would press the line of busy users into the floor."""
    verdict, evidence = arrivals()
    traffic = replace(evidence.experiment.traffic, max_users=20_000)
    roomy = replace(evidence, experiment=replace(evidence.experiment, traffic=traffic))
    assert "all there may be" not in words_of(plots(verdict, roomy, ("load",))["load.svg"])


def test_the_line_wanted_follows_a_curve_of_users_too() -> None:
    """The plan's orders are drawn, not the stages' ends: a curve is no straight ramp."""
    events = synthetic_ladder(hold_s=6, ramp_s=2, warmup_s=2, faults=False)
    evidence = measure(events)
    bumped = [
        order if index else replace(order, users_to=7_777, ramp_ns=NS_PER_S)
        for index, order in enumerate(evidence.orders)
    ]
    line = timeline(judge(evidence), replace(evidence, orders=tuple(bumped)), style.WIDE)
    with style.styled():
        figure = PLOTS["load"].draw(judge(evidence), line.evidence, style.WIDE)
    wanted = next(one for one in figure.axes[1].lines if one.get_label() == "wanted")
    assert max(wanted.get_ydata()) == 7_777
