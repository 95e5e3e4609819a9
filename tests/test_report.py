"""The report: pictures that open, a page that stands alone."""

import dataclasses
import html.parser
import json
import re
import shutil
import subprocess
import types
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest

from nasfas_jax.commands import seeds
from nasfas_jax.commands.report import _agreement, _stills, describe_search
from nasfas_jax.data.loading import prepared
from nasfas_jax.data.loading.pipeline import BY
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.graphs import GROUPS, Edge, Graph, Node, Operation
from nasfas_jax.report import (
    ablation,
    cells,
    figures,
    meta_figures,
    page,
    robustness,
    searches,
)
from nasfas_jax.report.picture import SHADES, operation_color
from nasfas_jax.search import genotype as genotypes
from nasfas_jax.search import spaces
from nasfas_jax.workflows import searchers

SPACE = spaces.get("nas_fas")
OPERATIONS = [op for op in SPACE.legend if op.name[-3:] not in ("1.4", "1.6", "1.8")]
GENOTYPE = genotypes.Genotype(
    SPACE,
    (
        ("cdc", "skip", "cdc_2_1.2", "cdc"),
        ("cdc_2_2.0", "cdc", "cdc", "skip"),
        ("skip", "skip", "cdc", "cdc_2_1.6"),
    ),
)
RESULT = {
    "level": "video",
    "rule": "eer",
    "selected_on": "nothing",
    "warnings": ["intervals: people tested: 5", "chance: at <chance> here"],
    "threshold": 0.25,
    "development_eer": 0.125,
    "development": {"videos": 40, "subjects": 8, "by_type": {}},
    "test": {
        "hter": 0.0625, "bpcer": 0.1, "acer": 0.2, "apcer": 0.3, "worst_type": "mask",
        "apcer_by_type": {"mask": 0.3, "print": 0.0},
    },
    "test_counts": {"subjects": 5, "by_type": {"live": 10, "mask": 10, "print": 9}},
    "auc": 0.9375,
    "intervals": {"hter": {"low": 0.01, "high": 0.2, "samples": 1000}},
}  # fmt: skip


def roc(format="svg"):
    curve = (np.array([0, 0, 1.0]), np.array([0, 0.5, 1.0]))
    return figures.roc({"found": curve}, {"found": (0.1, 0.6)}, format=format)


def histograms():
    table = types.SimpleNamespace(
        score=np.array([0.9, 0.8, 0.3, 0.1]),
        attack_type=np.array(["live", "live", "print", "mask"]),
    )
    return figures.score_histograms(table, 0.5, title="found")


def faces():
    image = np.zeros((16, 16, 3), np.uint8)
    depth = np.linspace(-1, 2, 64).reshape(8, 8)
    row = figures.FaceRow("live\nscore 0.9", image, image, image / 255, depth, depth)
    return figures.faces([row, row])


def sheet():
    image = np.full((8, 6, 3), 200, np.uint8)
    return figures.contact_sheet([image] * 3, ["a", "b\nc", "d"], columns=2)


@pytest.mark.parametrize("columns", [2, 6, 8])
def test_captions_of_a_sheet_do_not_touch(columns):
    """Lines of narrow and of wide letters, also of a formula, are cut at the picture."""
    caption = f"dom_m: $print$\n{'dom_m_' * 9}001.mp4"
    image = np.full((30, 40), 0.5)
    picture = figures.contact_sheet([image] * columns, [caption] * columns, columns)
    drawn = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    white, width = (drawn == 255).all(0), drawn.shape[1] / columns
    for column in range(1, columns):  # pictures end 0.04 of a column before the next
        border = round(column * width)
        assert white[border - round(0.03 * width) : border].all()
    text = figures._fitted("dom_m_" * 9, 90)
    assert text.startswith("...") and text.endswith("_m_dom_m_")


def alphas(edges=2):
    uniform = np.full((1, edges, 5), 0.2)
    return figures.alphas_over_time([0], uniform, OPERATIONS, "low cell")


def health():
    cell = np.stack([np.full((2, 5), 0.2), np.eye(5)[[1, 2]]])
    return figures.search_health([0, 10], {"low": cell, "mid": cell}, OPERATIONS)


def training():
    curve = ([0, 1, 2], [3.0, 2.0, 1.0])
    runs = {"cdn": {"loss": curve, "auc": curve}, "found": {"loss": curve}}
    return figures.training_curves(runs)


def genotype(format="svg"):
    return cells.draw_graph(SPACE.graph(GENOTYPE), format=format)


DRAWN = (roc, histograms, faces, sheet, alphas, health, training, genotype)


@pytest.fixture(scope="module")
def pictures():
    return {draw.__name__: draw() for draw in DRAWN}


@pytest.mark.parametrize("name", [draw.__name__ for draw in DRAWN])
def test_pictures_open(pictures, name):
    picture = pictures[name]
    assert picture.alt and 200 < picture.width <= 1024
    if picture.format == "png":
        assert picture.data.startswith(b"\x89PNG\r\n\x1a\n")
    else:
        assert ElementTree.fromstring(picture.data).tag.endswith("svg")


def test_a_picture_is_a_file_of_its_own(tmp_path, pictures):
    pictures["genotype"].save(tmp_path / "cells.svg")
    genotype("png").save(tmp_path / "cells.png")
    assert ElementTree.parse(tmp_path / "cells.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "cells.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"expected a name ending in \.svg"):
        pictures["genotype"].save(tmp_path / "cells.png")


def test_equal_figures_give_equal_bytes(pictures):
    assert roc().data == pictures["roc"].data


def test_drawn_cells_name_every_operation(pictures):
    assert pictures["genotype"].alt == (
        "Searched cells. low: cdc, skip, cdc_2_1.2, cdc; mid: cdc_2_2.0, cdc, cdc, skip; "
        "high: skip, skip, cdc, cdc_2_1.6"
    )
    assert len({operation_color(op) for op in SPACE.legend}) == len(SPACE.legend)


def test_every_shade_has_a_color():
    assert {group: len(shades) for group, shades in SHADES.items()} == GROUPS
    with pytest.raises(InputError, match=r"group: .* got 'wider'. Did you mean wide"):
        Operation("conv", group="wider")
    with pytest.raises(InputError, match="shade: expected an integer from 0 to 4"):
        Operation("conv", group="wide", shade=5)


def test_a_graph_of_unknown_nodes_is_named():
    nodes = {"a": Node(0, 0, Operation("a"))}
    with pytest.raises(InputError, match=r"expected names of nodes \(a\), got b, c"):
        Graph(nodes, (Edge("a", "b"), Edge("c", "a")), "")
    with pytest.raises(InputError, match="nodes: expected one or more"):
        Graph({}, (), "")


def test_arrows_pass_beside_the_nodes_between():
    places = {"a": (0, 0), "b": (0, 2), "c": (0, 4), "d": (1, 4)}
    nodes = {name: Node(x, y, Operation(name)) for name, (x, y) in places.items()}
    boxes = {name: cells.box(node) for name, node in nodes.items()}
    straight, aside, across = (
        cells.route(boxes, Edge(a, b)) for a, b in ("ab", "ac", "bd")
    )
    assert [x for x, _ in straight] == [0, 0]
    assert min(x for x, _ in aside) == boxes["b"].right and len(aside) == 4
    assert across[0] == (boxes["b"].right, boxes["b"].y)
    assert across[-1] == (boxes["d"].left, boxes["d"].y)
    inner, outer = (
        cells.route(boxes, Edge("b", "d", lane=lane))[1][0] for lane in (0.25, 0.75)
    )
    assert boxes["b"].right < outer < across[1][0] < inner < boxes["d"].left


def test_entropy_and_skip_ratio_by_hand():
    uniform, decided = np.full((4, 5), 0.2), np.eye(5)[[1, 1, 2, 3]]
    assert figures.entropy(np.stack([uniform, decided])) == pytest.approx([1, 0])
    assert figures.skip_ratio(decided, OPERATIONS) == 0.5
    none_first = np.array([[0.9, 0.06, 0.04, 0, 0]])
    assert figures.skip_ratio(none_first, OPERATIONS) == 1


class Page(html.parser.HTMLParser):
    """Collects links and text, and checks that every element is closed."""

    VOID = ("meta", "img", "br", "wbr")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.words = [], [], set(), []
        self.tables = []  # of each: the texts of its header, then its cells' columns
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            assert dict(self.attributes)["class"] == "scroll"
            self.tables.append(([], []))
        elif tag == "th" and "thead" in self.open:
            self.tables[-1][0].append("")
        elif tag == "td":
            self.tables[-1][1].append(dict(attrs)["data-column"])
        if tag not in self.VOID:
            self.open.append(tag)
            self.attributes = attrs
        self.links += [v for k, v in attrs if k in ("src", "href", "srcset", "action")]
        self.ids |= {v for k, v in attrs if k == "id"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["th"] and "thead" in self.open:
            self.tables[-1][0][-1] += data
        self.words.append(data.strip())


@pytest.fixture(scope="module")
def report(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    alone = RESULT | {"intervals": {}, "warnings": ["intervals: people tested: 5"]}
    page.render(
        path,
        title="Unseen <domain>",
        summary="A summary.",
        rows=[
            page.Row("found", RESULT, 1_103_227, 18_200_000_000, 95.0),
            page.Row("cdn", json.loads(json.dumps(alone)), 2_245_016, 740, 8.4),
        ],
        sections=[
            page.Section("Pictures", "One.\n\nTwo.", tuple(pictures.values())),
            page.Section("Config", facts={"seed": 0}, code='{"a": "<b>"}'),
        ],
        facts={"protocol": "O&C&I to M"},
    )
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_page_stands_alone(report):
    parsed = Page(report)
    assert parsed.open == []
    assert len(parsed.links) == 3 + len(DRAWN)
    for link in parsed.links:
        if link.startswith("#"):
            assert link[1:] in parsed.ids
        else:
            assert link.startswith(("data:image/svg+xml;base64,", "data:image/png;"))
    lowered = report.lower()
    for outside in ("http:", "https:", "@import", "url(", "<script", "<link"):
        assert outside not in lowered


def test_page_holds_every_part(report):
    words = Page(report).words
    for text in (
        "Unseen <domain>", "A summary.", "O&C&I to M", "Results", "Pictures", "One.",
        "Two.", "Config", "seed", '{"a": "<b>"}', "found", "cdn", "6.3", "93.8",
        "1.0 – 20.0", "mask", "1.10 M", "18.2 G", "1 min 35 s",
        "How to read these numbers",
    ):  # fmt: skip
        assert text in words
    reading = " ".join(" ".join(words).split())
    assert "on the development split (40 videos of 8 people)" in reading


def test_cells_of_a_narrow_page_name_their_columns(report):
    """Each table scrolls; where its header is hidden, every cell repeats it."""
    tables = Page(report).tables
    assert len(tables) == 3
    for header, columns in tables:
        assert columns[: len(header) - 1] == header[1:]
        assert set(columns) == set(header[1:])
        units = ", %", ", score", "parameters", "MACs", "time", "spoof", "subjects"
        assert all(any(unit in name for unit in units) for name in header[1:]), header


def test_warnings_are_sentences_of_the_page(report):
    text = " ".join(" ".join(Page(report).words).split())
    assert "found, cdn: People tested: 5." in text
    assert "found: At <chance> here." in text


def test_oracles_are_marked_on_the_page(tmp_path):
    pages = []
    for selected_on in ("nothing", "test"):
        result = RESULT | {"selected_on": selected_on}
        row = page.Row("found", result, 1, 1, 1.0)
        page.render(tmp_path / "r.html", title="", summary="", rows=[row], sections=[])
        pages.append(" ".join((tmp_path / "r.html").read_text().split()))
    for text, oracle in zip(pages, (False, True), strict=True):
        assert ("found (oracle)" in text) is oracle
        assert ("No test label was used" in text) is not oracle


def render_wide(path, networks):
    types = [f"attack_type_{i}" for i in range(13)]
    result = RESULT | {
        "test": RESULT["test"] | {"apcer_by_type": dict.fromkeys(types, 0.123)},
        "test_counts": {
            "subjects": 136,
            "by_type": dict.fromkeys(["live", *types], 1310),
        },
        "intervals": dict.fromkeys(
            ("hter", "acer", "auc"), RESULT["intervals"]["hter"]
        ),
    }
    rows = [
        page.Row(f"multi_domain_pooled_{i}", result, 2_245_016, 18_200_000_000, 4210.0)
        for i in range(networks)
    ]
    page.render(path, title="Wide", summary="", rows=rows, sections=[])


@pytest.mark.parametrize("method", ["meta_nas", "darts"])
@pytest.mark.parametrize("by", BY)
def test_a_search_by_any_method_is_described(method, by):
    settings = searchers.settings_of(method)
    search = {"by": by, "method": method, **dataclasses.asdict(settings)}
    text = describe_search(search, 48)
    assert "architecture to exact order, 48 steps" in text
    assert f"alphas fixed before step {settings.alphas_from}." in text
    levers = {"exact_from": 7, "shared_alphas": True, "sample_temperature": 0.5}
    for said in ("before step 7", "shared by all cells", "sampled at temperature 0.5"):
        assert said in describe_search(search | levers, 48) and said not in text


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
@pytest.mark.parametrize(
    ("width", "networks", "cut"), [(1200, 9, 0), (390, 9, 0), (1200, 20, 1)]
)
def test_tables_fit_or_scroll_in_a_browser(tmp_path, width, networks, cut):
    """No table is wider than its box but that of 20 columns; never is the page."""
    path = tmp_path / "report.html"
    render_wide(path, networks)
    script = (
        "<script>parent.postMessage([...document.querySelectorAll('.scroll')].filter("
        "x => x.scrollWidth > x.clientWidth).length + ' cut in ' + innerWidth + ', page '"
        " + (document.documentElement.scrollWidth <= innerWidth), '*')</script>"
    )
    path.write_text(path.read_text().replace("</body>", script + "</body>"))
    outer = tmp_path / "window.html"  # a browser's own window has 500 pixels at least
    outer.write_text(
        "<script>onmessage = event => document.title = event.data</script>"
        f'<iframe src="report.html" width="{width}" height="900" frameborder="0"></iframe>'
    )
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--disable-background-networking", "--virtual-time-budget=5000"),
            f"--user-data-dir={tmp_path / 'profile'}",
            outer.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    title = re.search("<title>(.*)</title>", done.stdout)
    assert title and title[1] == f"{cut} cut in {width}, page true"


def captured(monkeypatch):
    """The figures that are drawn from now on."""
    drawn = []
    for module in (figures, meta_figures):
        finish = module.finish
        monkeypatch.setattr(
            module,
            "finish",
            lambda figure, *rest, finish=finish: (
                drawn.append(figure),
                finish(figure, *rest),
            )[1],
        )
    return drawn


def test_both_curves_are_in_percent(monkeypatch):
    drawn = captured(monkeypatch)
    curve = (np.array([0, 0.2, 1]), np.array([0, 0.9, 1]))
    figures.roc({"a": curve})
    figures.det({"a": curve})
    for figure in drawn:
        for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
            assert axis.get_label_text().endswith(", %")
            labels = [label.get_text() for label in axis.get_ticklabels()]
            assert max(float(label) for label in labels) > 99


def step_axes(monkeypatch):
    """Every x axis of steps that the figures of the report draw."""
    drawn = captured(monkeypatch)
    few = [0, 1, 2]
    half = np.full((3, 2, 5), 0.2)
    for steps in ([0], few, [0, 50_000, 123_456]):
        cell = half[: len(steps)]
        figures.alphas_over_time(steps, cell, OPERATIONS, "low cell")
        figures.search_health(steps, {"low": cell}, OPERATIONS)
        figures.training_curves({"cdn": {"loss": (steps, np.ones(len(steps)))}})
        meta_figures.learning_directions({"a": (steps, np.ones(len(steps)))})
    points = [("exact", 1, 0.5), ("exact", 2, 0.7)]
    meta_figures.mode_curves([meta_figures.Curves("cost", "inner steps k", points)])
    return [
        axes for figure in drawn for axes in figure.axes if "step" in axes.get_xlabel()
    ]


def test_many_edges_are_drawn_in_rows():
    """Fourteen, as in the spaces of cells; a warning of the layout is an error here."""
    many, few = (alphas(edges).width for edges in (14, 2))
    assert many == few


def test_step_axes_have_whole_ticks(monkeypatch):
    found = step_axes(monkeypatch)
    assert len(found) == 3 * (2 + 2 + 1 + 1) + 1
    for axes in found:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks and all(float(tick).is_integer() for tick in ticks)


def line(result, name="found", parameters=740, macs=740, seconds=8.4):
    """The line of a network below the header."""
    row = page.Row(name, result, parameters, macs, seconds)
    header, found, *_ = seeds.table({0: {name: row}})
    assert header[1:3] == ["HTER, % (95 %)", "AUC, % (95 %)"]
    return found


def test_printed_table_has_the_units_of_the_page():
    assert line(RESULT, "found", 1_103_227, 18_200_000_000, 95.0) == [
        "found *", "6.3 (1.0 to 20.0)", "93.8", "12.5", "1,103,227", "18.2 G", "95"
    ]  # fmt: skip
    oracle = RESULT | {"selected_on": "test", "warnings": []}
    assert line(oracle, "cdn")[0] == "cdn (oracle)"
    assert line(RESULT | {"warnings": []}, "cdn")[0] == "cdn"


def test_the_report_shows_the_agreement_of_the_seeds(tmp_path):
    config = types.SimpleNamespace(seed=2, get={"seeds": 2}.get)
    for folder, pair in ((".", ("cdc", "cdc")), ("seed3", ("cdc", "skip"))):
        assert not _agreement(config, tmp_path)
        (tmp_path / folder / "search").mkdir(parents=True)
        one = genotypes.Genotype(SPACE, (pair * 2,) * 3)
        genotypes.save(tmp_path / folder / "search" / "genotype.json", one)
    [section] = _agreement(config, tmp_path)
    assert section.table[1:] == [["2 and 3", "100", "50"]]
    other = spaces.get("nas_fas", channels=8).sample(0)
    genotypes.save(tmp_path / "search" / "genotype.json", other)
    assert not _agreement(config, tmp_path)  # spaces that cannot be compared


def test_rates_of_several_seeds_are_their_mean_and_range():
    """Of two random architectures the one that is better on development is named."""

    def row(name, hter, within):
        test = RESULT["test"] | {"hter": hter}
        result = RESULT | {"test": test, "auc": 1 - hter, "development_eer": within}
        return page.Row(name, result, 740, 740, 8.0)

    def rows(*numbers):
        names = ("depthnet", "random_0", "random_1")
        return {n: row(n, *pair) for n, pair in zip(names, numbers, strict=True)}

    first = rows((0.1, 0.2), (0.2, 0.1), (0.4, 0.3))
    header, depthnet, *_, mean, best = seeds.table(
        {
            0: first,
            1: rows((0.2, 0.2), (0.1, 0.3), (0.3, 0.2)),
        }
    )
    assert header[1] == "HTER, % (2 seeds)"
    assert depthnet[1:4] == ["15.0 (10.0 to 20.0)", "85.0 (80.0 to 90.0)", "20.0"]
    assert mean[:2] == ["random, mean of 2", "25.0 (20.0 to 30.0)"]
    assert best[:2] == ["random, best of 2 on development", "25.0 (20.0 to 30.0)"]
    assert [mean[3], best[3]] == ["22.5", "15.0"]
    assert len(seeds.table({0: first})) == 6


def test_page_needs_a_result(tmp_path):
    with pytest.raises(InputError, match="at least one evaluated network"):
        page.render(tmp_path / "r.html", title="", summary="", rows=[], sections=[])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("alone", [True, False])
def test_the_report_counts_stills(tmp_path, alone):
    """Of one prepared folder, or of the folders of several datasets."""
    folders = [tmp_path] if alone else [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        (folder / "manifest.csv").write_text(
            "domain,label,clips,stills\no,1,8,2\no,0,5,5\nother,1,9,9\n"
        )
    table = {"domain": np.array(["o"])}
    data = prepared.Prepared(
        tmp_path, "x", Recipe(), {"train": prepared.Split(table, ())}, digest=""
    )
    times = len(folders)
    said = f"{2 * times} of {8 * times} live clips and {5 * times} of {5 * times} spoof"
    assert said in _stills(data)
    for folder in folders:
        (folder / "manifest.csv").write_text("domain,label,clips,stills\no,1,8,0\n")
    assert _stills(data) == ""
    for folder in folders:
        (folder / "manifest.csv").write_text("domain,label,clips\no,1,8\n")
    assert _stills(data) == ""


MANY = [f"series {i}" for i in range(9)]
STEPS = np.arange(3)
PAIR = (STEPS, np.linspace(0.1, 0.9, 3))
#: Pictures of a curve, or of points, for each of nine names.
SERIES_PICTURES = {
    "training_curves": lambda: figures.training_curves(
        {name: {"loss": PAIR} for name in MANY}
    ),
    "search_health": lambda: figures.search_health(
        STEPS, {name: np.zeros((3, 2, 2)) for name in MANY}, OPERATIONS[:2]
    ),
    "roc": lambda: figures.roc(dict.fromkeys(MANY, (PAIR[1], PAIR[1])), {}),
    "bands": lambda: ablation.bands(
        [ablation.Panel("x", "y", STEPS, {name: [PAIR[1]] for name in MANY})]
    ),
    "reliability": lambda: robustness.reliability(
        {name: (PAIR[1], PAIR[1], np.ones(3, int)) for name in MANY}
    ),
    "learning_directions": lambda: meta_figures.learning_directions(
        dict.fromkeys(MANY, PAIR)
    ),
    "searched_and_random": lambda: searches.searched_and_random(
        {name: ([0.1 * i], [0.5]) for i, name in enumerate(MANY)}
    ),
}


@pytest.mark.parametrize("name", SERIES_PICTURES)
def test_no_series_is_left_out_or_drawn_as_another(monkeypatch, name):
    drawn = []
    for module in (figures, ablation, robustness, searches, meta_figures):
        monkeypatch.setattr(module, "finish", lambda figure, *_: drawn.append(figure))
    SERIES_PICTURES[name]()
    handles = {}
    for axes in drawn[0].axes:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    assert set(MANY) <= set(handles)
    lines = [getattr(h, "lines", [h])[0] for h in map(handles.get, MANY)]
    looks = {(one.get_color(), one.get_linestyle(), one.get_marker()) for one in lines}
    assert len(looks) == len(MANY)
