"""Contact sheets: faces by domain and attack type as one picture."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from nasfas_jax.data.datasets import sources
from nasfas_jax.data.loading import prepared
from nasfas_jax.data.media import video
from nasfas_jax.errors import InputError, some
from nasfas_jax.report import figures

#: Faces of each domain and attack type.
EXAMPLES = 2
#: Pixels of faces from raw videos, along their longer side.
SIDE = 240


def of_prepared(
    data: prepared.Prepared, splits: Sequence[str] = sources.SPLITS
) -> figures.Picture:
    """Faces of each domain and attack type, from the first split that has them.

    Beside each face are its depth map, above, and its location map.

    Args:
      data: prepared data.
      splits: splits to take faces from.
    """
    where = {}
    for name in splits:
        table = data.splits[name].table
        of: dict[tuple[str, str], list[int]] = {}
        keys = zip(table["domain"].tolist(), table["attack_type"].tolist(), strict=True)
        for row, key in enumerate(keys):
            of.setdefault(key, []).append(row)
        for key, rows in of.items():
            where.setdefault(key, (name, _apart(rows)))

    def shown(key: tuple[str, str]) -> list[tuple[np.ndarray, str]]:
        name, rows = where[key]
        split = data.splits[name]
        found = split.load(np.array(rows), ("static", "depth", "face"))
        pictures = map(_with_maps, found["static"], found["depth"], found["face"])
        return list(zip(pictures, split.table["video"][rows].tolist(), strict=True))

    return _sheet({key: shown(key) for key in where})


def _with_maps(face: np.ndarray, *maps: np.ndarray) -> np.ndarray:
    """A face [S, S, 3] with its two maps in a column of half its width on the right."""
    half = len(face) // 2
    small = [
        cv2.resize(one, (half, half), interpolation=cv2.INTER_NEAREST) for one in maps
    ]
    column = np.vstack(small)[..., None].repeat(3, 2)
    return np.hstack([face[: 2 * half], column])


def of_videos(
    videos: Sequence[sources.VideoSource],
) -> tuple[figures.Picture, list[tuple[str, str]]]:
    """Frames of each domain and attack type.

    Args:
      videos: videos of a dataset; a few of each domain and attack type are read.

    Returns:
      The picture, and path and reason of each video that could not be read.

    Raises:
      InputError: none of them can be read.
    """
    of: dict[tuple[str, str], list[sources.VideoSource]] = {}
    for one in videos:
        of.setdefault((one.domain, one.attack_type), []).append(one)
    images, unread = {}, []
    for key, group in of.items():
        images[key] = []
        for one in _apart(group):
            try:
                images[key].append((_frame(one), one.video))
            except video.VideoError as error:
                unread.append((str(one.path), str(error)))
    if not any(images.values()):
        reasons = some([f"{path}: {reason}" for path, reason in unread])
        raise InputError(
            f"None of {len(unread)} videos, of {len(videos)}, can be read ({reasons})."
            " Check that the files are whole."
        )
    return _sheet(images), unread


def _frame(source: sources.VideoSource) -> np.ndarray:
    """A frame near the beginning, RGB [h, w, 3], at most SIDE pixels long."""
    _, (image,) = next(video.read_clips(source.path, _early, 1, source.rotate))
    scale = min(1.0, SIDE / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[..., ::-1])


def _early(total: int) -> list[int]:
    """Index of a frame after the first ones, which are often dark."""
    return [total // 8]


def _apart(values: Sequence) -> list:
    """The first, the last and evenly spaced values in between, `EXAMPLES` in all."""
    places = np.linspace(0, len(values) - 1, EXAMPLES).astype(int)
    return [values[i] for i in sorted(set(places.tolist()))]


def _sheet(
    images: Mapping[tuple[str, str], Sequence[tuple[np.ndarray, str]]],
) -> figures.Picture:
    """A row of faces for each domain, live first, with domain, type and video below."""
    domains = sorted({domain for domain, _ in images})
    kinds = sorted({kind for _, kind in images}, key=live_first)
    shown = [
        (image, f"{domain}: {kind}\n{video}")
        for domain in domains
        for kind in kinds
        for image, video in images.get((domain, kind), ())
    ]
    # Columns line up where every domain has every type.
    full = len(kinds) * EXAMPLES
    columns = full if len(shown) == full * len(domains) and full <= 8 else 6
    pictures, captions = zip(*shown, strict=True)
    return figures.contact_sheet(pictures, captions, columns=min(columns, len(shown)))


def live_first(kind: str) -> tuple[bool, str]:
    """Sorting key of attack types: 'live' first, the others by name."""
    return kind != sources.LIVE, kind
