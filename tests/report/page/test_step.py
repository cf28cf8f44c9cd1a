"""The report as a reader meets it, in a headless browser; and the numbers in it, which come from files."""

import csv
import html
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from miad.core.errors import MiadError
from miad.report.figures.step import FIGURES
from miad.report.page import step as page
from tests.builders import browser, finished
from tests.builders.finished import HOSTILE, NUM_SALTS

# All salts of the first run; the second lacks five of them, so that a duplicate of one is unique there.
NUM_CANDIDATES = NUM_SALTS + NUM_SALTS - 5 + 1


@pytest.fixture(scope="module")
def chromium():
    program = browser.find()
    if program is None:
        pytest.skip("no Chromium found; install one (Debian: chromium) or set MIAD_CHROMIUM")
    one = browser.Browser(program)
    yield one
    one.close()


@pytest.fixture
def screen(chromium, results):
    """The report, opened; what the page complains about fails the test."""
    chromium.open(results / "report.html")
    yield chromium
    assert chromium.complaints == []


def formulas(screen) -> list[str]:
    return screen.value("[...document.querySelectorAll('#list tbody th')].map((one) => one.textContent)")


def column(screen, name: str) -> list[str]:
    return screen.value(
        f"[...document.querySelectorAll('#list td[data-name^=\"{name}\"]')].map((one) => one.textContent)"
    )


# ------------------------------------------------------------------------------------------------ in a browser


def test_the_table_sorts_by_every_column_both_ways(screen):
    assert screen.value("document.querySelector('#count').textContent") == f"{NUM_CANDIDATES} of 56 candidates"
    heights = [float(text) for text in column(screen, "above hull")]
    assert len(heights) == 25 and heights == sorted(heights)
    screen.click("#list th[data-key=e_above_hull] button")
    assert float(column(screen, "above hull")[0]) > heights[-1]
    assert screen.value("document.querySelector('th[data-key=e_above_hull]').ariaSort") == "descending"
    screen.click("#list th[data-key=reduced_formula] button")
    assert formulas(screen) == sorted(formulas(screen))
    screen.click("#list th[data-key=density] button")
    densities = [float(text) for text in column(screen, "density")]
    assert densities == sorted(densities)


def test_pages_hold_all_candidates_once(screen):
    seen = formulas(screen)
    for _ in range(2):
        screen.click("#after")
        seen += formulas(screen)
    assert len(seen) == NUM_CANDIDATES and screen.value("document.querySelector('#after').disabled")
    screen.click("#before")
    assert screen.value("document.querySelector('#page').textContent") == "page 2 of 3"


def test_filters_narrow_the_table(screen):
    screen.type("#words", "O")
    assert len(formulas(screen)) == 10 and all("O" in formula for formula in formulas(screen))
    screen.type("#words", "Na O")
    assert len(set(formulas(screen))) == 1
    screen.type("#words", "fm-3m")
    assert "56 of 56" in screen.value("document.querySelector('#count').textContent")
    screen.type("#words", "")
    screen.value(
        "(() => { const e = document.querySelector('#run'); e.value = 'small';"
        " e.dispatchEvent(new Event('change')); })()"
    )
    assert "26 of 56" in screen.value("document.querySelector('#count').textContent")
    screen.type("#height", "-0.6")
    assert all(float(text) <= -0.6 for text in column(screen, "above hull"))
    screen.click("#reset")
    screen.wait(lambda: "56 of 56" in screen.value("document.querySelector('#count').textContent"))
    screen.type("#words", "nothing of that kind")
    assert formulas(screen) == []


def test_the_viewer_shows_a_candidate_with_its_cell(screen, results):
    assert not screen.value("!!window.Chemiscope")  # loaded on first use only
    screen.click("#list tbody tr:nth-child(3) button")
    screen.wait(lambda: screen.value("!!document.querySelector('#viewer > div').shadowRoot.querySelector('canvas')"))
    name = screen.value("document.querySelector('#name').textContent")
    assert name == formulas(screen)[2]
    picture = "document.querySelector('#viewer > div').shadowRoot.querySelector('canvas').toDataURL().length"
    drawn = screen.wait(lambda: (found := screen.value(picture)) > 8000 and found)
    # The file to download is the one that lies in results/.
    link = screen.value(
        "(() => { const a = document.querySelector('#cif');"
        " return [a.download, decodeURIComponent(a.href.split(',').slice(1).join(','))]; })()"
    )
    assert (results / "miad" / "cif" / link[0]).read_text(encoding="utf-8") == link[1]
    screen.value(
        "(() => { const e = document.querySelector('#cells'); e.value = '2'; e.dispatchEvent(new Event('change')); })()"
    )
    screen.wait(lambda: screen.value(picture) != drawn)
    screen.key("Escape", 27)
    assert screen.value("document.querySelector('#panel').hidden")
    assert screen.value("document.activeElement.textContent") == name


def test_names_are_text_whatever_they_say(screen):
    screen.type("#words", "onerror")
    screen.click("#list tbody tr:nth-child(1) button")
    assert HOSTILE in screen.value("document.querySelector('#facts').textContent")
    assert screen.value("document.title") == "Mirage atom diffusion"
    assert screen.value("document.querySelectorAll('main img').length") == 0


def test_a_generation_can_be_played(screen):
    screen.click("#start")
    screen.wait(lambda: screen.value("!!document.querySelector('#film > div').shadowRoot.querySelector('canvas')"))
    assert screen.value("document.querySelector('#moment-text').textContent") == "t = 40, 3 atoms"
    screen.click("#play")
    screen.wait(lambda: screen.value("document.querySelector('#moment-text').textContent") == "t = 0, 2 atoms")
    screen.wait(lambda: screen.value("document.querySelector('#play').textContent") == "Play")


# Keeps the viewer that the page makes, so that a test can ask it where things are on its canvas.
KEEP_VIEWER = """(() => {
  document.head.append(Object.assign(document.createElement('script'), {textContent: library.textContent}));
  const made = (target, arguments_) => (window.kept = new target(...arguments_));
  window.Chemiscope = {...Chemiscope, MoleculeViewer: new Proxy(Chemiscope.MoleculeViewer, {construct: made})};
})()"""
# Of a frame: how far its corners are from the middle of the canvas, 1 at the edge.
OUTERMOST = """(() => {
  const {cell} = JSON.parse(data.textContent).generation.frames[%d];
  const along = (corner, axis) => [0, 1, 2].reduce((sum, row) => sum + ((corner >> row) & 1) * cell[3 * row + axis], 0);
  const corners = [...Array(8).keys()].map((one) => ({x: along(one, 0), y: along(one, 1), z: along(one, 2)}));
  moment.value = %d;
  moment.dispatchEvent(new Event('input'));
  const box = document.querySelector('#film > div').shadowRoot.querySelector('canvas').getBoundingClientRect();
  return Math.max(...kept._viewer.modelToScreen(corners).flatMap((seen) => [
    Math.abs(2 * (seen.x - scrollX - box.x) / box.width - 1), Math.abs(2 * (seen.y - scrollY - box.y) / box.height - 1),
  ]));
})()"""


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["laptop", "phone"])
def test_the_whole_cell_of_every_moment_is_seen(chromium, results, width, height, tmp_path):
    import ase
    import ase.io

    shutil.copytree(results, tmp_path / "results")
    cells = [np.diag(edges) for edges in ([3, 3, 3], [3, 9, 3], [12, 4, 4], [4, 4, 25], [30, 30, 30])]
    cells.append(np.array([[-3.5958, 0.8262, 0.1681], [-0.8369, -2.9023, -2.29], [0.4443, 3.3285, -4.5983]]))
    frames = [ase.Atoms("NaCl", cell=cell, scaled_positions=[[0.4, 0.5, 0.5], [0.6, 0.5, 0.5]]) for cell in cells]
    for time, atoms in enumerate(frames):
        atoms.info |= {"time": time, "crystal_id": "any"}
    ase.io.write(tmp_path / "results" / "figures" / "generation.extxyz", frames)
    page.run(results=tmp_path / "results", out=tmp_path / "report.html", runs=json.dumps(finished.config()))
    chromium.open(tmp_path / "report.html", width=width, height=height)
    chromium.value(KEEP_VIEWER)
    chromium.click("#start")
    chromium.wait(lambda: chromium.value("!!window.kept"))
    outermost = [chromium.value(OUTERMOST % (index, index)) for index in range(len(frames))]
    assert 0.8 < max(outermost) < 1, outermost  # nor is it lost in the middle of the canvas
    assert chromium.complaints == []


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["laptop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_every_screen_and_can_be_read(chromium, results, width, height, dark, tmp_path):
    chromium.open(results / "report.html", width=width, height=height, dark=dark)
    assert chromium.value("document.documentElement.scrollWidth") <= width
    # Contrast of text and ground of the page and of what is set apart: at least 4.5 (WCAG 2.2, AA).
    for selector in ("body", ".lead", ".caveats li", "tr.published td", "figcaption p", "small.file"):
        assert chromium.value(CONTRAST % json.dumps(selector)) >= 4.5, selector
    colour = chromium.value("getComputedStyle(document.querySelector('.plot svg text')).fill")
    assert colour == chromium.value("getComputedStyle(document.body).color")
    chromium.screenshot(tmp_path / "screen.png")
    assert (tmp_path / "screen.png").stat().st_size > 10_000
    assert chromium.complaints == []


def test_the_name_of_a_run_stays_in_sight_while_its_rates_are_scrolled(chromium, results):
    chromium.open(results / "report.html", width=390, height=844)
    seen = chromium.value(
        "(() => { const wide = document.querySelector('#rates .wide'); wide.scrollIntoView();"
        " wide.scrollLeft = wide.scrollWidth; const name = wide.querySelector('tbody th').getBoundingClientRect();"
        " const top = document.elementFromPoint(name.x + 15, name.y + name.height / 2);"
        " return [wide.scrollLeft, name.x - wide.getBoundingClientRect().x, top.textContent]; })()"
    )
    assert seen[0] > 100 and seen[1] == pytest.approx(0, abs=1) and seen[2].startswith("miad")


def test_intervals_of_differences_are_whole_beside_a_long_name(screen):
    screen.value("document.querySelector('#differences tbody th').textContent = 'twice_as_many_mirage_atoms'")
    box = screen.value(
        "(() => { const e = document.querySelector('#differences .wide'); return [e.scrollWidth, e.clientWidth]; })()"
    )
    assert box[0] <= box[1]


CONTRAST = """(() => {
  const e = document.querySelector(%s) ?? document.body;
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let ground = e;
  const paint = (one) => getComputedStyle(one).backgroundColor;
  while (/^rgba\\(.*, 0(\\.\\d+)?\\)$/.test(paint(ground)) && ground.parentElement) ground = ground.parentElement;
  const [a, b] = [light(getComputedStyle(e).color), light(paint(ground))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
})()"""


def test_it_can_be_used_without_a_mouse_and_by_ear(screen):
    unnamed = """[...document.querySelectorAll('button, a, input, select, summary')].filter(
      (e) => !e.textContent.trim() && !e.ariaLabel && !e.labels?.length && !e.title).map((e) => e.outerHTML)"""
    assert screen.value(unnamed) == []
    assert screen.value("document.documentElement.lang") == "en"
    assert screen.value("document.querySelectorAll('h1').length") == 1
    levels = screen.value("[...document.querySelectorAll('h1, h2, h3, h4')].map((e) => Number(e.tagName[1]))")
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert screen.value("[...document.querySelectorAll('.plot')].every((e) => e.role === 'img' && e.ariaLabel)")
    ids = screen.value("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


# ------------------------------------------------------------------------------------------------ what is in it


def test_one_file_without_network(results):
    text = (results / "report.html").read_text(encoding="utf-8")
    shell = text.partition('id="library">')[0]
    assert not re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?!data:)', shell)
    assert "default-src 'none'" in html.unescape(shell)
    assert HOSTILE not in text and str(results) not in shell.partition("<main")[0]


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def test_every_rate_is_the_one_of_its_file(results):
    text = (results / "report.html").read_text(encoding="utf-8")
    rows = _lines(results / "sun_table.csv")
    block = text[text.index('id="rates"') : text.index("In the layout of the paper")]
    shown = re.findall(r'<tr class="(measured|published)"><th scope="row">([^<]+)', block)
    assert [(kind, name.strip()) for kind, name in shown] == [(row["kind"], row["run"]) for row in rows]
    first = rows[0]
    for rate in ("sun", "stable", "metastable", "msun"):
        value, low, high = (float(first[f"{rate}_percent{bound}"]) for bound in ("", "_low", "_high"))
        assert f"{value:.1f} <small>[{low:.1f}, {high:.1f}]</small>" in block
    assert f"{first['sun']} of {first['attempted']} samples of miad are stable, unique and novel" in text


def test_tables_of_the_paper_are_those_of_their_files(results):
    text = (results / "report.html").read_text(encoding="utf-8")
    block = text[text.index("In the layout of the paper") : text.index('id="candidates"')]
    for number in (2, 3):
        [line, *_] = [one for one in _lines(results / f"tables/table_{number}.csv") if one["kind"] == "measured"]
        value, low, high = (float(line[f"CHGNet: sun{bound}"]) for bound in ("", "_low", "_high"))
        assert f"{value:.1f} <small>[{low:.1f}, {high:.1f}]</small>" in block
    assert "MiAD (35)" in block and "tables/table_5.csv" in block


def test_figures_are_inlined_with_their_tables(results):
    text = (results / "report.html").read_text(encoding="utf-8")
    for name in FIGURES:
        assert (f'id="figure-{name}"' in text) == (results / "figures" / f"{name}.svg").is_file()
    assert "S.U.N. against training epoch" in text[text.index("Not drawn") :][:200]


def test_what_made_it_is_told(results):
    text = (results / "report.html").read_text(encoding="utf-8")
    section = text[text.index('id="provenance"') :].partition('id="data"')[0]
    assert "mirage.num_atoms: 8 instead of 9" in section
    assert "mp2020" in section and "CHGNet 0.3.0 (test)" in section and "pymatgen" in section
    from miad.core.files import checksum

    for path in ("miad/train/model.safetensors", "sun_table.csv", "tables/runs.csv", "small/ledger.csv"):
        assert checksum(results / path, "sha256") in section


def test_only_as_many_structures_as_asked_for(results, tmp_path):
    given = finished.config()
    given["report"]["max_viewed"] = 7  # three for each of two runs
    page.run(results=results, out=tmp_path / "report.html", runs=json.dumps(given))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"miad: the 3 most stable of {NUM_SALTS} are shown here" in text
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert [one["run"] for one in data["candidates"]] == ["miad"] * 3 + ["small"] * 3


def test_a_missing_result_is_named(results, tmp_path):
    given = finished.config()
    given["ablations"] = {"absent": {"seed": 5}}
    with pytest.raises(MiadError, match=r"absent/sun/chgnet/row\.json"):
        page.run(results=results, out=tmp_path / "report.html", runs=json.dumps(given))
