"""AUC of an outside anti-spoofing network on the synthetic set, and contact sheets.

    python docs/judge.py MODEL.onnx [--people 6] [--pictures docs]

MODEL takes RGB crops [1, 3, 128, 128] of 1.5 times the face box, from 0 to 1, and returns two
logits, live first; the score is their difference. The tables of docs/data.md are those of
`models/best/98.20` of VietAnh954/face-antispoof-onnx. `--pictures` writes the contact sheets.
"""

import argparse
import collections
import pathlib
import tempfile

import cv2
import numpy as np

from nasfas_jax import synthetic
from nasfas_jax.evaluation import metrics
from nasfas_jax.synthetic import dataset, specs, spectrum

FACE, SEED = 128, 77
SHOWN = 192  # side of a crop on a contact sheet: that of the video for a face of 128
SHEETS = {
    "recapture.jpg": [
        ("live", ""),
        *((k, v) for k in ("print", "replay") for v in specs.ATTACKS[k]),
    ],
    "masks.jpg": [
        ("live", ""),
        *((k, v) for k in specs.BY_MACRO_TYPE["mask"] for v in specs.ATTACKS[k]),
    ],
}


def spec_of(domain: str, person: int, take: int, kind: str, variant: str = ""):
    """Specification of a video of two frames; `take` numbers the videos of a person."""
    subject = f"{domain}_{person}"
    variants = specs.ATTACKS.get(kind, ("",))
    return synthetic.VideoSpec(
        domain=domain,
        attack_type=kind,
        variant=variant or variants[person % len(variants)],
        subject_seed=specs.derive(SEED, subject),
        seed=specs.derive(SEED, f"{subject}/{take}{kind}"),
        frames=2,
        fps=2.0,
        face_size=FACE,
    )


def filmed(spec, folder: pathlib.Path):
    """Decoded RGB frames [H, W, 3] and face boxes [T, 4] of an encoded video."""
    path = folder / f"video{spec.suffix}"
    dataset.write_one(spec, path)
    reader, frames = cv2.VideoCapture(str(path)), []
    while (read := reader.read())[0]:
        frames.append(read[1][..., ::-1])
    return frames, synthetic.read_annotation(path).boxes


def score(network, frames, boxes) -> float:
    """Mean score of the frames of a video."""
    scores = []
    for frame, box in zip(frames, boxes, strict=True):
        pixels = (
            spectrum.crop_face(frame, box).astype(np.float32).transpose(2, 0, 1)[None]
            / 255
        )
        network.setInput(pixels)
        live, spoof = network.forward()[0][:2]
        scores.append(live - spoof)
    return float(np.mean(scores))


def auc(live, spoof) -> str:
    """AUC as text; a dash without spoof videos, as of a variant that few people have."""
    if not spoof:
        return "-"
    labels = [1] * len(live) + [0] * len(spoof)
    return f"{metrics.auc([*live, *spoof], labels):.2f}"


def judge(model: str, people: int) -> None:
    """Prints the AUC by attack type, variant and domain as Markdown."""
    network = cv2.dnn.readNetFromONNX(model)
    scores = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for domain in synthetic.DOMAINS:
            for person in range(people):
                for take, kind in enumerate(("live", "live", *specs.ATTACKS)):
                    spec = spec_of(domain, person, take, kind)
                    found = score(network, *filmed(spec, pathlib.Path(folder)))
                    scores[domain, kind, spec.variant].append(found)
    print_table(scores)


def print_table(scores) -> None:
    """Prints scores by (domain, attack type, variant)."""
    domains = list(synthetic.DOMAINS)

    def of(wanted, kind=None, variant=None):
        rows = [
            v
            for (d, k, w), v in scores.items()
            if d in wanted
            and (k != "live" if kind is None else k == kind)
            and variant in (None, w)
        ]
        return [value for row in rows for value in row]

    print("| attack |", " | ".join([*domains, "all", "by variant"]), "|")
    print("|---" * (len(domains) + 3) + "|")
    for kind in (*specs.ATTACKS, None):
        cells = [auc(of([d], "live"), of([d], kind)) for d in domains]
        live = of(domains, "live")
        cells.append(auc(live, of(domains, kind)))
        variants = specs.ATTACKS.get(kind, ())
        named = [
            f"{w} {auc(live, of(domains, kind, w))}"
            for w in variants
            if len(variants) > 1
        ]
        print("|", " | ".join([kind or "all", *cells, ", ".join(named)]), "|")
    called = [f"{np.mean(np.array(of([d], 'live')) > 0):.2f}" for d in domains]
    called.append(f"{np.mean(np.array(of(domains, 'live')) > 0):.2f}")
    print("| live called live |", " | ".join(called), "| |")


def draw(folder: pathlib.Path) -> None:
    """Writes the contact sheets: a row for every domain, at about full scale."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kinds in SHEETS.items():
        rows = []
        for domain in synthetic.DOMAINS:
            crops = []
            for take, (kind, variant) in enumerate(kinds):
                clip = synthetic.render(spec_of(domain, 1, take, kind, variant))
                crops.append(spectrum.crop_face(clip.frames[0], clip.boxes[0], SHOWN))
            rows.append(np.hstack(crops))
        sheet = np.ascontiguousarray(np.vstack(rows)[..., ::-1])
        cv2.imwrite(str(folder / name), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--pictures", type=pathlib.Path)
    flags = parser.parse_args()
    judge(flags.model, flags.people)
    if flags.pictures:
        draw(flags.pictures)
