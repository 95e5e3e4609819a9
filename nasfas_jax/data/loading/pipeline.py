"""Batches of prepared clips: balanced training batches, episodes, and evaluation batches.

A batch is a dict of NumPy arrays: `image` float32 [B, S, S, C] in [-1, 1] (clips
[B, K, S, S, C] where the view's input is 'frames'), `target` float32 [B, m, m] in [0, 1],
`label` int32 [B]; a `View` selects them.  Training streams are endless Grain iterators: the
batch of step i depends only on the seed and i, and `get_state()` and `set_state()` resume a
stream.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from nasfas_jax import attack_types, limits
from nasfas_jax.data.loading import augment as augmentation
from nasfas_jax.data.loading.prepared import DATA, Prepared, Split, open_dataset
from nasfas_jax.data.loading.views import VIEW, View, input_image, shown, target_map
from nasfas_jax.errors import InputError

__all__ = [
    "View",
    "episodes",
    "eval_batches",
    "groups",
    "open_dataset",
    "to_batch",
    "train_batches",
]

Batch = dict[str, np.ndarray]

BY = ("domain", "macro_type", "half")  # kinds of groups in an episode
BATCH_SIZES = limits.Range(2, whole=True)  # one live and one spoof clip, or more

ENDLESS = 2**40  # steps
#: Episodes (or parts) of a step, and clips of each batch, that a process reads.
Share = tuple[slice, slice]
ALL: Share = (slice(None), slice(None))


def train_batches(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "train",
    batch_size: int = 16,
    seed: int = 0,
    augment: str = "standard",
    view: View | None = None,
    parts: int = 1,
    share: Share = ALL,
) -> grain.DatasetIterator:
    """Endless batches, half live and half spoof, pooled over domains.

    Live clips and the clips of each attack type are shuffled separately, and each is used
    once before any is repeated; attack types alternate.

    Args:
      prepared: an opened dataset.
      domains: domains of the clips; all domains of the split if None.
      split: name of the split.
      batch_size: number of clips; an odd number has one more live clip.
      seed: seed of the order and the augmentation.
      augment: name of a recipe in `augment.RECIPES`.
      view: input and target of the batches; that of `View()` if None.
      parts: P, number of batches per step, the next ones of the same stream; if P > 1, on
        a leading axis [P].
      share: parts, and clips of each, that are read; the others are drawn alone.

    Raises:
      InputError: an unknown domain or augmentation, no live or no spoof clip, a batch of
        one, a seed out of range, or a view of frames that the records do not hold.
    """
    limits.require(seed=(seed, limits.SEED), parts=(parts, limits.COUNT))
    domains = _known_domains(prepared, domains)
    view, clips = _view(prepared, view), _split(prepared, split)
    augmentation.transforms(augment)
    rows = clips.rows(domains)
    where = f"split '{split}' of {', '.join(domains)}"
    draw = Balanced(clips, rows, batch_size, [seed], where)

    own = augmentation.Clips(batch_size, np.arange(batch_size)[share[1]])

    def batch(step: int) -> Batch:
        records = _records(clips, draw(step)[own.rows], view)
        return to_batch(records, view, augment, _generator(seed, step), own)

    return _stream(batch, parts, share[0])


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
    view: View | None = None,
    share: Share = ALL,
) -> grain.DatasetIterator:
    """Endless episodes: one group is the query, the other N - 1 are the support.

    The groups are domains, macro types or halves, see `groups`.  The query group is drawn at
    each step (NAS-FAS Algorithm 1); of two halves it is always the same.  Each group
    contributes `batch_size` clips, half live and half spoof, as in `train_batches`; groups
    that share live clips shuffle them independently.

    Args:
      prepared: an opened dataset.
      domains: source domains; all domains of the split if None.
      split: name of the split.
      batch_size: B, number of clips of each group.
      seed: seed of the query, the order and the augmentation.
      augment: name of a recipe in `augment.RECIPES`.
      episodes: E, number of episodes per step. Step i yields the episodes that the same
        seed yields at steps iE to iE + E - 1 with one episode per step, each with its own
        query domain, clips and augmentation.
      by: 'domain', 'macro_type' or 'half'.
      unseen: attack types that are tested, see `groups`.
      view: input and target of the batches; that of `View()` if None.
      share: episodes, and clips of each group, that are read; the others are drawn alone.

    Returns:
      Iterator over {'support': batch with leading axes [N - 1, B], 'query': batch with
      leading axis [B], 'query_domain': index into the sorted groups}; if E > 1, all with
      an additional leading axis [E].

    Raises:
      InputError: as `groups`; a group without live or spoof clips, fewer than one episode,
        a seed out of range, an unknown augmentation, or a view of frames that the records
        do not hold.
    """
    limits.require(seed=(seed, limits.SEED), episodes=(episodes, limits.COUNT))
    view, clips = _view(prepared, view), _split(prepared, split)
    augmentation.transforms(augment)
    rows_of = groups(
        prepared, domains=domains, split=split, by=by, unseen=unseen, seed=seed
    )
    draws = [
        Balanced(clips, rows, batch_size, [seed, i], f"'{name}' ({split})")
        for i, (name, rows) in enumerate(rows_of.items())
    ]

    places = np.arange(len(draws) * batch_size).reshape(len(draws), batch_size)
    own = augmentation.Clips(places.size, places[:, share[1]].ravel())

    def episode(step: int) -> dict:
        random = _generator(seed, step)
        query = int(random.integers(len(draws))) if by != "half" else 0
        order = [i for i in range(len(draws)) if i != query] + [query]
        rows = np.concatenate([draws[i](step) for i in order])
        records = _records(clips, rows[own.rows], view)
        batch = to_batch(records, view, augment, random, own)
        lead = (len(draws), -1)
        batch = {k: v.reshape(*lead, *v.shape[1:]) for k, v in batch.items()}
        return {
            "support": {name: value[:-1] for name, value in batch.items()},
            "query": {name: value[-1] for name, value in batch.items()},
            "query_domain": query,
        }

    return _stream(episode, episodes, share[0])


def groups(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "train",
    by: str = "domain",
    unseen: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """The groups of clips from which the query of an episode is drawn.

    By 'domain', a group consists of the clips of one domain.  By 'macro_type', it consists
    of the spoof clips of one macro type (`attack_types.MACRO_TYPES`) and all live clips,
    pooled over domains (NAS-FAS sec. 5.1, Type-aware Meta-NAS).  By 'half', the groups are
    two random halves of all clips, 'query' and 'support' (NAS-FAS sec. 4.4, NAS).

    Args:
      prepared: an opened dataset.
      domains: domains of the clips; all domains of the split if None.
      split: name of the split.
      by: 'domain', 'macro_type' or 'half'.
      unseen: attack types that are tested and not learned.  By macro type, their macro
        types have no group: for the target silicone_mask the groups are replay, print,
        makeup and partial, although other masks may be in the training set.
      seed: seed of the halves.

    Returns:
      Rows [n] of the split's table by the sorted names of the groups.

    Raises:
      InputError: an unknown `by` or domain, fewer than two groups, or an attack type
        without macro type.
    """
    limits.require(by=(by, limits.OneOf(BY)))
    clips = _split(prepared, split)
    if by == "domain":
        sources = _episode_domains(prepared, domains)
        return {name: clips.rows([name]) for name in sources}
    rows = clips.rows(_known_domains(prepared, domains))
    types, live = (clips.table[name][rows] for name in ("attack_type", "label"))
    if by == "half":
        return _halves(rows, types, live, seed)
    indices = attack_types.groups(types, live, unseen=unseen)
    return {name: rows[index] for name, index in indices.items()}


def _halves(
    rows: np.ndarray, types: np.ndarray, live: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Random halves of the clips, and of the live clips and those of each attack type."""
    random, halves = np.random.default_rng([seed, 0]), ([], [])
    for name in ("", *np.unique(types[live == 0])):
        pool = rows[live == 1] if not name else rows[(live == 0) & (types == name)]
        mixed = random.permutation(pool)
        for half, chosen in zip(halves, (mixed[::2], mixed[1::2]), strict=True):
            half.append(chosen)
    support, query = (np.sort(np.concatenate(half)) for half in halves)
    return {"query": query, "support": support}


def eval_batches(
    prepared: Prepared,
    *,
    domains: Sequence[str] | None = None,
    split: str = "test",
    batch_size: int = 16,
    view: View | None = None,
) -> Iterator[tuple[Batch, Batch]]:
    """Batches of equal size with every clip once, in the order of the table.

    Args:
      prepared: an opened dataset.
      domains: domains of the clips; all domains of the split if None.
      split: name of the split.
      batch_size: B, number of clips.
      view: input and target of the batches; that of `View()` if None.

    Yields:
      (batch, columns): the batch also has `valid` bool [B], False where the last batch is
      padded with its first clip; `columns` has the columns of the table (clip, subject,
      domain, attack_type, label, split, ...) of the valid clips.

    Raises:
      InputError: an unknown domain, no clip, a batch size below 1, or a view of frames
        that the records do not hold.
    """
    limits.require(batch_size=(batch_size, limits.COUNT))
    domains = _known_domains(prepared, domains)
    view, clips = _view(prepared, view), _split(prepared, split)
    rows = clips.rows(domains)
    if not len(rows):
        raise InputError(
            f"Split '{split}' of {prepared.data_dir} has no clip in"
            f" {', '.join(domains)}. Its manifest lists the split of each file."
        )

    return (
        _eval_batch(clips, rows[i : i + batch_size], batch_size, view)
        for i in range(0, len(rows), batch_size)
    )


def _split(prepared: Prepared, name: str) -> Split:
    limits.require(prepared=(prepared, DATA))
    limits.require(split=(name, limits.OneOf(prepared.splits)))
    return prepared.splits[name]


def _view(prepared: Prepared, view: View | None) -> View:
    limits.require(prepared=(prepared, DATA), view=(view, VIEW))
    view = view or View()
    view.require_prepared(prepared.recipe)
    return view


def _eval_batch(split: Split, rows, batch_size, view: View) -> tuple[Batch, Batch]:
    columns = {name: column[rows] for name, column in split.table.items()}
    padded = np.concatenate([rows, np.repeat(rows[:1], batch_size - len(rows))])
    valid = np.arange(batch_size) < len(rows)
    return to_batch(_records(split, padded, view), view) | {"valid": valid}, columns


def to_batch(
    records: Mapping[str, np.ndarray],
    view: View,
    augment: str = "none",
    random: Any = None,
    clips: augmentation.Clips | None = None,
) -> Batch:
    """A batch from stacked records.

    Args:
      records: the image and the map that the view selects, uint8 [B, ...], and `label` [B].
      view: input and target of the batch.
      augment: name of a recipe in `augment.RECIPES`.
      random: NumPy generator that draws the augmentation.
      clips: which clips of which batch they are; None: all of it.
    """
    batch = {
        "image": input_image(records, view),
        "target": target_map(records, view),
        "label": np.asarray(records["label"], np.int32),
    }
    batch = augmentation.augmented(batch, augment, random, clips)
    return batch | {"image": shown(batch["image"], view)}


class Balanced:
    """Rows of a balanced batch as a function of the step: half live, half spoof.

    Each pool (live clips, and the clips of each attack type) is an endless shuffled
    stream; a step takes its next clips, and the spoof half alternates attack types.
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
                    f"There is no {name} clip in {where}: a batch needs live and spoof"
                    " clips. Choose other domains, or add videos and prepare again; the"
                    " manifest lists the files that were left out, with the reasons."
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
    """An endless stream of rows, shuffled again after each pass."""

    def __init__(self, rows: np.ndarray, seeds: Sequence[int]):
        self._rows = rows
        self._seeds = seeds
        self._round = functools.lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, round_: int) -> np.ndarray:
        return np.random.default_rng([*self._seeds, round_]).permutation(self._rows)

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Rows at these positions of the stream."""
        rounds, within = divmod(places, len(self._rows))
        rows = [self._round(int(r))[i] for r, i in zip(rounds, within, strict=True)]
        return np.array(rows, dtype=int)


def _stream(
    function: Callable[[int], dict], size: int, share: slice
) -> grain.DatasetIterator:
    """A function of the step as a checkpointable iterator that prefetches on a thread.

    If ``size`` is above 1, step i stacks those of ``share`` of the results i * size to
    (i + 1) * size - 1.
    """

    def stacked(step: int) -> dict:
        results = [function(i) for i in range(step * size, (step + 1) * size)[share]]
        return _stack(results)

    reading = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
    steps = grain.MapDataset.range(ENDLESS).map(stacked if size > 1 else function)
    return iter(steps.to_iter_dataset(reading))


def _stack(results: Sequence[Any]) -> Any:
    """Arrays of dicts of the same structure on a new leading axis."""
    if isinstance(results[0], Mapping):
        return {name: _stack([one[name] for one in results]) for name in results[0]}
    return np.stack(results)


def _generator(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, step])


def _records(split: Split, rows: np.ndarray, view: View) -> Batch:
    return split.load(rows, view.columns) | {"label": split.table["label"][rows]}


def _known_domains(prepared: Prepared, domains: Sequence[str] | None) -> list[str]:
    limits.require(prepared=(prepared, DATA))
    if domains is None:
        return prepared.domains
    domains = [domains] if isinstance(domains, str) else list(domains)
    unknown = sorted(set(domains) - set(prepared.domains))
    if unknown:
        raise InputError(
            f"expected domains of {prepared.data_dir},"
            f" {', '.join(prepared.domains)}, got {', '.join(unknown)}.",
            field="domains",
        )
    return domains


def _episode_domains(prepared: Prepared, domains: Sequence[str] | None) -> list[str]:
    domains = sorted(_known_domains(prepared, domains))
    if len(domains) < 2:
        raise InputError(
            "expected at least two domains for an episode, one as the query and"
            f" the others as the support, got {len(domains)}"
            f" ({', '.join(domains) or 'none'}) of the domains"
            f" {', '.join(prepared.domains)} in {prepared.data_dir}. Prepare data of more"
            " domains, or select more of them.",
            field="domains",
        )
    return domains
