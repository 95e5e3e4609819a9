"""The model card: a README in the form of the Hugging Face Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nasfas_jax import evaluation, nets
from nasfas_jax.errors import some
from nasfas_jax.workflows import registry

if TYPE_CHECKING:
    from nasfas_jax.workflows.model import Model

#: Rates in the table of a card, by their headings.
RATES = {"HTER": "hter", "ACER": "acer", "APCER": "apcer", "BPCER": "bpcer"}


def summary(model: Model) -> str:
    """Network, size, training and threshold on one line."""
    threshold = "not evaluated"
    if model.threshold is not None:
        threshold = f"threshold {model.threshold.value:.4f} ({model.threshold.rule})"
    return (
        f"{model.name}: {model.parameters:,} parameters, images {_size(model)},"
        f" {_steps(model)}, {threshold}"
    )


def table(model: Model) -> list[list[str]]:
    """Size, training, threshold and results, one row each; the header row first."""
    rows = [
        ["model", model.name],
        ["parameters", f"{model.parameters:,}"],
        ["images", f"{_size(model)}, input {model.view.input}"],
        ["training", _steps(model)],
        ["threshold", "not evaluated"],
    ]
    if model.threshold is not None:
        by = f"{model.threshold.rule} on {', '.join(model.threshold.domains)}"
        rows[-1][1] = f"{model.threshold.value:.4f} by {by}"
    for name, columns in model.results.items():
        rates = [f"{k} {100 * value:.1f} %" for k, value in _rates(columns).items()]
        oracle = " (oracle)" if columns["selected_on"] == "test" else ""
        rows.append([f"tested on {name}{oracle}", ", ".join(rates)])
    return rows


def _size(model: Model) -> str:
    return "x".join(map(str, model.image_shape))


def _steps(model: Model) -> str:
    return f"{model.steps:,} steps on {', '.join(model.learned.domains)}"


def render(model: Model) -> str:
    """The text of the card."""
    sections = (_front_matter, _overview, _training, _evaluation, _limits, _use)
    return "\n".join("\n".join(section(model)) for section in sections) + "\n"


def _front_matter(model: Model) -> Iterator[str]:
    """YAML; JSON texts are valid in it."""
    yield "---"
    yield "library_name: nasfas_jax"
    yield "pipeline_tag: image-classification"
    yield "tags: [face-anti-spoofing, presentation-attack-detection, jax, flax]"
    yield "datasets:"
    yield f"- {json.dumps(model.learned.dataset)}"
    if model.results:
        yield "model-index:"
        yield f"- name: {json.dumps(model.name)}"
        yield "  results:"
    for name, columns in model.results.items():
        yield "  - task: {type: image-classification, name: Face anti-spoofing}"
        dataset = json.dumps(name)
        yield f"    dataset: {{type: {dataset}, name: {dataset}}}"
        yield "    metrics:"
        # Numbers of a model that was selected on test data are no estimates.
        oracle = "oracle " if columns["selected_on"] == "test" else ""
        for heading, value in _rates(columns).items():
            kind = f"{oracle}{heading}".lower().replace(" ", "_")
            yield f"    - {{type: {kind}, name: {oracle}{heading}, value: {value!r}}}"
    yield "---"
    yield ""


def _overview(model: Model) -> Iterator[str]:
    yield f"# {model.name}"
    yield ""
    seen = "the frames of a clip" if model.view.input == "frames" else "a face image"
    rule = {"mean": "mean", "mean_square": "mean square"}
    mean = rule[model.network.get("score", "mean")]
    yield (
        f"A face anti-spoofing model: it maps {seen} to a map whose {mean} is the score."
        " A higher score means live, a lower one a presentation attack (print, replay,"
        " mask)."
    )
    yield ""
    yield f"- Network: `{json.dumps(model.network)}`"
    yield f"- Parameters: {model.parameters:,}"
    *_, size, channels = model.image_shape
    yield (
        f"- Input: {size} x {size} pixels, {channels} channels; input"
        f" `{model.view.input}`, color `{model.view.color}`, pixels"
        f" `{model.view.pixels}`"
    )
    if model.recipe.frames > 1:
        interval = model.recipe.interval
        frames = (
            "consecutive frames" if interval == 1 else f"frames, each {interval} apart"
        )
        yield f"- Clip: {model.recipe.frames} {frames}"
    yield ""


def _training(model: Model) -> Iterator[str]:
    learned = model.learned
    yield "## Training"
    yield ""
    yield (
        f"{model.steps:,} steps on {learned.clips:,} clips of {len(learned.subjects):,}"
        f" subjects in the training split of {', '.join(learned.domains)}"
        f" (`{learned.dataset}`, records `{learned.digest[:16]}`)."
    )
    if model.searched is not None:
        yield (
            f"The architecture was searched on {', '.join(model.searched.domains)} of"
            f" `{model.searched.dataset}`."
        )
    yield ""
    settings = dict(model.settings)
    if "features" not in model.network:
        default = registry.default_optimizer(model.network)
        settings.setdefault("train.optimizer", default)
    rows = [[name, f"`{value}`"] for name, value in settings.items()]
    yield from _table(rows, ("Setting", "Value"))
    yield ""
    versions = ", ".join(f"{name} {value}" for name, value in model.versions.items())
    yield f"Versions: {versions}."
    yield ""


def _evaluation(model: Model) -> Iterator[str]:
    yield "## Evaluation"
    yield ""
    threshold = model.threshold
    if threshold is None:
        yield "Not evaluated: the model has no threshold, and its verdict is empty."
    else:
        yield (
            f"Threshold {threshold.value:.6g} by the rule `{threshold.rule}`, chosen on"
            f" {threshold.videos:,} videos in the {threshold.split} split of"
            f" {', '.join(threshold.domains)}."
        )
    yield ""
    if not model.results:
        return
    headings = ("Test", "Videos", "Threshold", "Rule", *RATES, "AUC")
    rows = []
    for name, columns in model.results.items():
        fields = evaluation.fields_of(columns)
        rates = [f"{100 * value:.2f} %" for value in _rates(columns).values()]
        threshold, videos = fields["threshold"], fields["test_counts"]["videos"]
        rows.append(
            [name, str(videos), f"{threshold:.6g}", f"`{fields['rule']}`", *rates]
        )
    yield from _table(rows, headings)
    yield ""
    for name, columns in model.results.items():
        for warning in columns["warnings"]:
            yield f"- {name}: {warning}."
    yield ""


def _limits(model: Model) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield (
        "- The error rates hold for the videos, cameras and attack types of the test"
        " named beside them. On other cameras, light and attacks they can be much higher."
    )
    yield (
        "- The threshold was chosen on development data of the training domains; choose"
        " one on own data before any use."
    )
    for name, radius in nets.unstable_filters(model.params).items():
        yield (
            f"- The filter {name} is unstable (pole radius {radius:.3f}): its output grows"
            " without bound on long streams."
        )
    yield (
        f"- The subjects of training ({some(model.learned.subjects)}) must not appear in"
        " a test."
    )
    if model.view.input != "static":
        black = (
            "" if model.view.input == "frames" else " the dynamic image is black, and"
        )
        yield (
            "- The input contains motion: for a still picture or frozen frames"
            f"{black} scores may have no meaning."
        )
    yield ""


def _use(model: Model) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield "```python"
    yield "from nasfas_jax.workflows.model import Model"
    yield ""
    yield 'Model.load("FOLDER").predict("video.mp4")'
    yield "```"


def _rates(columns: dict[str, Any]) -> dict[str, float]:
    """Rates and AUC of a result by their headings, as fractions."""
    fields = evaluation.fields_of(columns)
    rates = {heading: fields["test"][name] for heading, name in RATES.items()}
    return {**rates, "AUC": fields["auc"]}


def _table(rows: list[list[str]], headings: tuple[str, ...]) -> Iterator[str]:
    """A Markdown table; bars in cells are escaped."""
    for row in (headings, ["---"] * len(headings), *rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
