"""Prepared clips to batches: balanced training batches, episodes, and evaluation.

A batch is a dict of NumPy arrays: `image` float32 [B, S, S, C] in [-1, 1], `target`
float32 [B, m, m] in [0, 1], `label` int32 [B]; a `View` says what they show.  Training
streams are Grain iterators without end: what step i yields depends on the seed and i
alone, and `get_state()` and `set_state()` take a stream up where it was left.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import grain
import numpy as np

from nasfas_jax import attack_types, limits
from nasfas_jax.data.loading import augment as augmentation
from nasfas_jax.data.loading.prepared import Prepared, Split, open_dataset
from nasfas_jax.data.preparation import labels
from nasfas_jax.errors import InputError

__all__ = [
    "COLORS",
    "INPUTS",
    "TARGETS",
    "View",
    "episodes",
    "eval_batches",
    "groups",
    "open_dataset",
    "scale",
    "to_batch",
    "train_batches",
]

Batch = dict[str, np.ndarray]

TARGETS = ("depth", "mask")
INPUTS = {"static_dynamic": "image", "static": "static", "dynamic": "dynamic"}
COLORS = {"rgb": 3, "hsv": 3, "rgb_hsv": 6}  # and their channels
PIXELS = ("signed", "unit")  # [-1, 1], or [0, 1] as in RFMeta's code
BY = ("domain", "macro_type")  # what an episode's groups are
BATCH_SIZES = limits.Range(2, whole=True)  # one live and one spoof clip, or more
MAP_SIZES = limits.Range(1, labels.MAP_SIZE, whole=True)

ENDLESS = 2**40  # steps


@dataclasses.dataclass(frozen=True)
class View:
    """Selects the input, color space and target of a batch (arguments ``**view`` below).

    Attributes:
      target: 'depth' or 'mask', the map to be predicted.
      input: 'static_dynamic', 'static' or 'dynamic', the image to predict from.
      color: 'rgb', 'hsv', or both one after the other, 'rgb_hsv' (RFMeta). Hue, saturation
        and value as OpenCV defines them (hue 0 to 360 degrees, the others 0 to 1), each
        brought to [-1, 1] over its range as red, green and blue are.
      map_size: side of the target, 1 to 32, the size that is prepared (the papers' are 8,
        14 and 32); cells are averaged over area, and a mask's cell is set where half of
        it or more is.
      pixels: range of the image, 'signed' for [-1, 1] or 'unit' for [0, 1].

    Raises:
      InputError: another value.
    """

    target: str = "depth"
    input: str = "static_dynamic"
    color: str = "rgb"
    map_size: int = labels.MAP_SIZE
    pixels: str = "signed"

    def __post_init__(self):
        limits.require(
            target=(self.target, limits.OneOf(TARGETS)),
            input=(self.input, limits.OneOf(INPUTS)),
            color=(self.color, limits.OneOf(COLORS)),
            map_size=(self.map_size, MAP_SIZES),
            pixels=(self.pixels, limits.OneOf(PIXELS)),
        )

    @property
    def columns(self) -> tuple[str, str]:
        """The record's arrays that it needs."""
        return INPUTS[self.input], self.target

    @property
    def channels(self) -> int:
        """Number of image channels."""
        return COLORS[self.color]


def scale(image: np.ndarray) -> np.ndarray:
    """What a network takes: pixels 0 to 255 as float32 from -1 to 1."""
    return image.astype(np.float32) * np.float32(2 / 255) - np.float32(1)


def recolored(image: np.ndarray, color: str) -> np.ndarray:
    """RGB images [B, S, S, 3] in [-1, 1] as [B, S, S, 3 or 6] in [-1, 1]; see `View`."""
    if color == "rgb":
        return image
    side = image.shape[2]
    hsv = cv2.cvtColor((image.reshape(-1, side, 3) + 1) / 2, cv2.COLOR_RGB2HSV)
    hsv = hsv * np.array([2 / 360, 2, 2], np.float32) - np.float32(1)
    hsv = hsv.reshape(image.shape)
    return hsv if color == "hsv" else np.concatenate([image, hsv], -1)


def shown(image: np.ndarray, view: View) -> np.ndarray:
    """RGB images [B, S, S, 3] in [-1, 1] as networks see them: color space and range."""
    image = recolored(image, view.color)
    return image if view.pixels == "signed" else (image + 1) / 2


def to_batch(records: Mapping[str, np.ndarray], **view) -> Batch:
    """A batch from stacked records.

    Args:
      records: the image and the map that the view names, uint8 [B, ...], and `label` [B].
      **view: as in `View`.

    Raises:
      InputError: as `View`.
    """
    return _batch(records, View(**view))


def train_batches(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "train",
    batch_size: int = 16,
    seed: int = 0,
    augment: str = "standard",
    **view,
) -> grain.DatasetIterator:
    """Batches without end, half live and half spoof, over the domains together.

    Live clips and the clips of each attack type are each shuffled and gone through
    before one comes again; attack types take turns.

    Args:
      prepared: an opened dataset.
      domains: all of the split's if None.
      split: its name.
      batch_size: an odd one has one live clip more.
      seed: of the order and the augmentation.
      augment: a recipe in `augment.RECIPES`.
      **view: as in `View`.

    Raises:
      InputError: an unknown domain, no live or no spoof clip, a batch of one, or a seed
        or augmentation that does not exist.
    """
    limits.require(seed=(seed, limits.SEED))
    domains = _known_domains(prepared, domains)
    shown, part = View(**view), prepared.splits[split]
    augmentation.transforms(augment)
    rows = part.rows(domains)
    where = f"split '{split}' of {', '.join(domains)}"
    draw = Balanced(part, rows, batch_size, [seed], where)

    def batch(step: int) -> Batch:
        records = _records(part, draw(step), shown)
        return _batch(records, shown, augment, _generator(seed, step))

    return _stream(batch)


def episodes(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "train",
    batch_size: int = 8,
    seed: int = 0,
    augment: str = "standard",
    episodes: int = 1,
    by: str = "domain",
    unseen: Sequence[str] = (),
    **view,
) -> grain.DatasetIterator:
    """Episodes without end: one group is the query, the other N - 1 the support.

    The groups are domains or macro types, see `groups`.  The query is drawn anew at each
    step (NAS-FAS Algorithm 1).  From each group come `batch_size` clips, half live, half
    spoof, as in `train_batches`; groups that share live clips go through them each in
    its own order.

    Args:
      prepared: an opened dataset.
      domains: the source domains; all of the split's if None.
      split: its name.
      batch_size: B clips of each group.
      seed: of the query, the order and the augmentation.
      augment: as in `train_batches`.
      episodes: E of a step. Step i has those that the same seed alone would yield at
        the steps iE to iE + E - 1, each with its own query domain, clips and
        augmentation.
      by: 'domain' or 'macro_type'.
      unseen: as in `groups`.
      **view: as in `View`.

    Returns:
      Iterator over {'support': batch with leading axes [N - 1, B], 'query': batch with
      leading axis [B], 'query_domain': index into the sorted groups}; where E > 1,
      all with one more leading axis [E].

    Raises:
      InputError: as `groups`; a group without live or spoof clips, fewer episodes than
        one, or a seed or augmentation that does not exist.
    """
    limits.require(seed=(seed, limits.SEED), episodes=(episodes, limits.COUNT))
    of = groups(prepared, domains=domains, split=split, by=by, unseen=unseen)
    shown, part = View(**view), prepared.splits[split]
    augmentation.transforms(augment)
    draws = [
        Balanced(part, rows, batch_size, [seed, i], f"'{name}' ({split})")
        for i, (name, rows) in enumerate(of.items())
    ]

    def episode(step: int) -> dict:
        random = _generator(seed, step)
        query = int(random.integers(len(draws)))
        order = [i for i in range(len(draws)) if i != query] + [query]
        rows = np.concatenate([draws[i](step) for i in order])
        made = _batch(_records(part, rows, shown), shown, augment, random)
        made = {k: v.reshape(-1, batch_size, *v.shape[1:]) for k, v in made.items()}
        return {
            "support": {name: value[:-1] for name, value in made.items()},
            "query": {name: value[-1] for name, value in made.items()},
            "query_domain": query,
        }

    return _stream(episode, episodes)


def groups(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "train",
    by: str = "domain",
    unseen: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """What the query of an episode is drawn from: groups of a split's clips.

    By 'domain' a group is a domain's clips.  By 'macro_type' it is the spoof clips of one
    macro type (`attack_types.MACRO_TYPES`) and all live ones, over the domains together
    (NAS-FAS sec. 5.1, Type-aware Meta-NAS).

    Args:
      prepared: an opened dataset.
      domains: all of the split's if None.
      split: its name.
      by: 'domain' or 'macro_type'.
      unseen: attack types that are tested and not learned.  By macro type, theirs get no
        group: for the target silicone_mask the groups are replay, print, makeup and
        partial, although other masks may be learned later.

    Returns:
      Sorted name to rows of the split's table [n].

    Raises:
      InputError: an unknown `by` or domain, fewer than two groups, or an attack type
        without macro type.
    """
    limits.require(by=(by, limits.OneOf(BY)))
    part = prepared.splits[split]
    if by == "domain":
        sources = _episode_domains(prepared, domains)
        return {name: part.rows([name]) for name in sources}
    rows = part.rows(_known_domains(prepared, domains))
    kinds, labels_of = (part.table[name][rows] for name in ("attack_type", "label"))
    found = attack_types.groups(kinds, labels_of, unseen=unseen)
    return {name: rows[places] for name, places in found.items()}


def eval_batches(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "test",
    batch_size: int = 16,
    **view,
) -> Iterator[tuple[Batch, Batch]]:
    """Every clip once, in the order of the table; batches of one size.

    Yields:
      (batch, about): the batch has `valid` bool [B] besides, False where the last one
      is filled up by its first clip; `about` holds the table's columns (clip, subject,
      domain, attack_type, label, split, ...) of the valid clips.

    Raises:
      InputError: an unknown domain, no clip at all, or a batch size below 1.
    """
    limits.require(batch_size=(batch_size, limits.COUNT))
    domains = _known_domains(prepared, domains)
    shown, part = View(**view), prepared.splits[split]
    rows = part.rows(domains)
    if not len(rows):
        raise InputError(
            f"Split '{split}' of {prepared.data_dir} has no clip in"
            f" {', '.join(domains)}. The manifest beside it says where each file went."
        )

    return (
        _eval_batch(part, rows[i : i + batch_size], batch_size, shown)
        for i in range(0, len(rows), batch_size)
    )


def _eval_batch(part, rows, batch_size, view: View) -> tuple[Batch, Batch]:
    about = {name: column[rows] for name, column in part.table.items()}
    filled = np.concatenate([rows, np.repeat(rows[:1], batch_size - len(rows))])
    valid = np.arange(batch_size) < len(rows)
    return _batch(_records(part, filled, view), view) | {"valid": valid}, about


def _batch(records, view: View, augment="none", random: Any = None) -> Batch:
    """What a view shows of records; `random` draws for the augmentation."""
    image, target = view.columns
    maps = labels.resized(
        records[target], view.map_size, is_binary=view.target == "mask"
    )
    batch = {
        "image": scale(records[image]),
        "target": maps.astype(np.float32) / np.float32(255),
        "label": np.asarray(records["label"], np.int32),
    }
    batch = augmentation.augmented(batch, augment, random)
    return batch | {"image": shown(batch["image"], view)}


class Balanced:
    """Rows of a batch as a function of the step: half live, half spoof.

    Each pool (live, and every attack type) is an endless shuffled stream; a step takes
    the next clips of it, the spoof half going round the attack types.
    """

    def __init__(
        self,
        split: Split,
        rows: np.ndarray,
        batch_size: int,
        seeds: Sequence[int],
        where: str,
    ):
        types = split.table["attack_type"][rows]
        live = split.table["label"][rows] == 1
        # Half of the clips of a batch are live, half are spoof.
        limits.require(batch_size=(batch_size, BATCH_SIZES))
        for name, present in (("live", live.any()), ("spoof", (~live).any())):
            if not present:
                raise InputError(
                    f"There is no {name} clip in {where}: a batch needs live and spoof."
                    " Choose other domains, or add videos and prepare again; the"
                    " manifest says which files were left out and why."
                )
        self._live_count = (batch_size + 1) // 2
        self._spoof_count = batch_size // 2
        self._live = _Endless(rows[live], [*seeds, 0])
        self._spoof = [
            _Endless(rows[~live & (types == name)], [*seeds, i + 1])
            for i, name in enumerate(np.unique(types[~live]))
        ]

    def __call__(self, step: int) -> np.ndarray:
        """Rows [B] of a step, live first."""
        live = step * self._live_count + np.arange(self._live_count)
        spoof = step * self._spoof_count + np.arange(self._spoof_count)
        turn, which = divmod(spoof, len(self._spoof))
        pools = [pool(turn[which == i]) for i, pool in enumerate(self._spoof)]
        return np.concatenate([self._live(live), *pools])


class _Endless:
    """The rows shuffled, over and over, each time in another order."""

    def __init__(self, rows: np.ndarray, seeds: Sequence[int]):
        self._rows = rows
        self._seeds = seeds
        self._round = functools.lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, round_: int) -> np.ndarray:
        return np.random.default_rng([*self._seeds, round_]).permutation(self._rows)

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Rows at these places of the stream."""
        rounds, within = divmod(places, len(self._rows))
        found = [self._round(int(r))[i] for r, i in zip(rounds, within, strict=True)]
        return np.array(found, dtype=int)


def _stream(function: Callable[[int], dict], together=1) -> grain.DatasetIterator:
    """The function of the step as a checkpointable iterator, one thread ahead.

    Where `together` is more than 1, so many results at once, their arrays stacked.
    """
    reading = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
    steps = grain.MapDataset.range(ENDLESS).map(function)
    if together > 1:
        steps = steps.batch(together)
    return iter(steps.to_iter_dataset(reading))


def _generator(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, step])


def _records(part: Split, rows: np.ndarray, view: View) -> Batch:
    return part.load(rows, view.columns) | {"label": part.table["label"][rows]}


def _known_domains(prepared: Prepared, domains: Sequence[str] | None) -> list[str]:
    domains = prepared.domains if domains is None else list(domains)
    unknown = sorted(set(domains) - set(prepared.domains))
    if unknown:
        raise InputError(
            f"No domain {', '.join(unknown)} in {prepared.data_dir}; it holds"
            f" {', '.join(prepared.domains)}."
        )
    return domains


def _episode_domains(prepared: Prepared, domains: Sequence[str] | None) -> list[str]:
    domains = sorted(_known_domains(prepared, domains))
    if len(domains) < 2:
        raise InputError(
            "An episode needs at least two domains, one to be the query and the others"
            f" the support; got {len(domains)} ({', '.join(domains) or 'none'}) of the"
            f" domains {', '.join(prepared.domains)} in {prepared.data_dir}. Prepare"
            " data of more domains, or name more of them."
        )
    return domains
