"""Prepared clips to batches: balanced training batches, episodes, and evaluation.

A batch is a dict of NumPy arrays: `image` float32 [B, S, S, 3] in [-1, 1], `target`
float32 [B, 32, 32] in [0, 1], `label` int32 [B].  Training streams are Grain iterators
without end: what step i yields depends on the seed and i alone, and `get_state()` and
`set_state()` take a stream up where it was left.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import grain
import numpy as np

from nasfas_jax.data.prepared import Prepared, Split, open_dataset
from nasfas_jax.errors import InputError

__all__ = [
    "INPUTS",
    "TARGETS",
    "episodes",
    "eval_batches",
    "open_dataset",
    "scale",
    "to_batch",
    "train_batches",
]

Batch = dict[str, np.ndarray]

TARGETS = ("depth", "mask")
INPUTS = {"static_dynamic": "image", "static": "static", "dynamic": "dynamic"}

# Augmentation as CDCN's code has it, for pixels in [0, 1].
BRIGHTNESS = 40 / 255  # added to each colour channel, up to plus or minus this
GAMMA = (0.5, 1.5)  # exponent

ENDLESS = 2**40  # steps


def scale(image: np.ndarray) -> np.ndarray:
    """What a network takes: pixels 0 to 255 as float32 from -1 to 1."""
    return image.astype(np.float32) * np.float32(2 / 255) - np.float32(1)


def to_batch(
    records: Mapping[str, np.ndarray],
    target: str = "depth",
    input: str = "static_dynamic",
) -> Batch:
    """A batch from stacked records.

    Args:
      records: the image that `input` names and the map that `target` names, uint8
        [B, ...], and `label` [B].
      target: 'depth' or 'mask', the map to be predicted.
      input: 'static_dynamic', 'static' or 'dynamic', the image to predict from.

    Raises:
      InputError: another target or input.
    """
    image, _ = _columns(target, input)
    return {
        "image": scale(records[image]),
        "target": records[target].astype(np.float32) / np.float32(255),
        "label": np.asarray(records["label"], np.int32),
    }


def train_batches(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "train",
    batch_size: int = 16,
    seed: int = 0,
    augment: bool = True,
    target: str = "depth",
    input: str = "static_dynamic",
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
      augment: horizontal flip of image and target, contrast and brightness.
      target: as in `to_batch`.
      input: as in `to_batch`.

    Raises:
      InputError: an unknown domain, no live or no spoof clip, a batch of one.
    """
    domains = _known_domains(prepared, domains)
    names, part = _columns(target, input), prepared.splits[split]
    rows = part.rows(domains)
    where = f"split '{split}' of {', '.join(domains)}"
    draw = Balanced(part, rows, batch_size, [seed], where)

    def batch(step: int) -> Batch:
        made = to_batch(_records(part, draw(step), names), target, input)
        return _augment(made, _generator(seed, step)) if augment else made

    return _stream(batch)


def episodes(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "train",
    batch_size: int = 8,
    seed: int = 0,
    augment: bool = True,
    target: str = "depth",
    input: str = "static_dynamic",
) -> grain.DatasetIterator:
    """Episodes without end: one domain is the query, the other N - 1 the support.

    The query domain is drawn anew at each step (NAS-FAS Algorithm 1).  From each domain
    come `batch_size` clips, half live, half spoof, as in `train_batches`.

    Args:
      prepared: an opened dataset.
      domains: the N source domains; all of the split's if None.
      split: its name.
      batch_size: B clips of each domain.
      seed: of the query domain, the order and the augmentation.
      augment: as in `train_batches`.
      target: as in `to_batch`.
      input: as in `to_batch`.

    Returns:
      Iterator over {'support': batch with leading axes [N - 1, B], 'query': batch with
      leading axis [B], 'query_domain': index into the sorted domains}.

    Raises:
      InputError: fewer than two domains, or a domain without live or spoof clips.
    """
    domains = _episode_domains(prepared, domains)
    names, part = _columns(target, input), prepared.splits[split]
    draws = [
        Balanced(part, part.rows([name]), batch_size, [seed, i], f"'{name}' ({split})")
        for i, name in enumerate(domains)
    ]

    def episode(step: int) -> dict:
        random = _generator(seed, step)
        query = int(random.integers(len(domains)))
        order = [i for i in range(len(domains)) if i != query] + [query]
        rows = np.concatenate([draws[i](step) for i in order])
        made = to_batch(_records(part, rows, names), target, input)
        if augment:
            made = _augment(made, random)
        made = {k: v.reshape(-1, batch_size, *v.shape[1:]) for k, v in made.items()}
        return {
            "support": {name: value[:-1] for name, value in made.items()},
            "query": {name: value[-1] for name, value in made.items()},
            "query_domain": query,
        }

    return _stream(episode)


def eval_batches(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "test",
    batch_size: int = 16,
    target: str = "depth",
    input: str = "static_dynamic",
) -> Iterator[tuple[Batch, Batch]]:
    """Every clip once, in the order of the table; batches of one size.

    Yields:
      (batch, about): the batch has `valid` bool [B] besides, False where the last one
      is filled up by its first clip; `about` holds the table's columns (clip, subject,
      domain, attack_type, label, split, ...) of the valid clips.

    Raises:
      InputError: an unknown domain, or no clip at all.
    """
    domains = _known_domains(prepared, domains)
    part = prepared.splits[split]
    rows = part.rows(domains)
    if not len(rows):
        raise InputError(
            f"Split '{split}' of {prepared.data_dir} has no clip in"
            f" {', '.join(domains)}. The manifest beside it says where each file went."
        )

    return (
        _eval_batch(part, rows[i : i + batch_size], batch_size, target, input)
        for i in range(0, len(rows), batch_size)
    )


def _eval_batch(part, rows, batch_size, target, input) -> tuple[Batch, Batch]:
    about = {name: column[rows] for name, column in part.table.items()}
    filled = np.concatenate([rows, np.repeat(rows[:1], batch_size - len(rows))])
    records = _records(part, filled, _columns(target, input))
    valid = np.arange(batch_size) < len(rows)
    return to_batch(records, target, input) | {"valid": valid}, about


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
        if batch_size < 2:
            raise InputError(
                f"The batch size is {batch_size}; expected 2 or more: half of the clips"
                " of a batch are live, half are spoof."
            )
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


def _stream(function: Callable[[int], dict]) -> grain.DatasetIterator:
    """The function of the step as a checkpointable iterator, one thread ahead."""
    reading = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
    steps = grain.MapDataset.range(ENDLESS).map(function)
    return iter(steps.to_iter_dataset(reading))


def _generator(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, step])


def _augment(batch: Batch, random: np.random.Generator) -> Batch:
    """Flip image and target, then change each colour's brightness, and the gamma."""
    image, target = batch["image"], batch["target"]
    count = len(image)
    flip = random.random(count) < 0.5
    image[flip] = image[flip, :, ::-1]
    target[flip] = target[flip, :, ::-1]
    brightness = random.uniform(-BRIGHTNESS, BRIGHTNESS, (count, 1, 1, 3))
    gamma = random.uniform(*GAMMA, (count, 1, 1, 1))
    pixels = (image + 1) / 2 + brightness.astype(np.float32)
    pixels = np.clip(pixels, 0, 1, out=pixels) ** gamma.astype(np.float32)
    return batch | {"image": 2 * pixels - 1, "target": target}


def _columns(target: str, input: str) -> tuple[str, str]:
    for field, value, allowed in (
        ("target", target, TARGETS),
        ("input", input, INPUTS),
    ):
        if value not in allowed:
            raise InputError(
                f"The batches' {field} is {value!r}; expected {' or '.join(allowed)}."
            )
    return INPUTS[input], target


def _records(part: Split, rows: np.ndarray, names: Sequence[str]) -> Batch:
    return part.load(rows, names) | {"label": part.table["label"][rows]}


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
