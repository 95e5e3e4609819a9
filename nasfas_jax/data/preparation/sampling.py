"""Which frames of a video become clips: the papers' rules by name.

A rule gives the current frames of a video's clips from the number N of its frames; a
clip of K frames is its current frame and the K - 1 before it.  Frames count from 0.  A
current frame with fewer than K - 1 before it is moved up to frame K - 1, and clips that
then coincide are one.

=============  ======================================================================
even           ``clips`` frames evenly spaced up to the last one
cdcn_train     ``clips`` frames evenly spaced over 1 .. N - 2, the range from which
               CDCN's training code draws one at random an epoch
cdcn_test      1 + i (N // 10), i = 0 .. 7: CDCN's test code
ssdg           6 + j (N // clips), j = 0 .. clips - 1: SSDG's code
siw_first_60   ``clips`` frames evenly spaced over the first 60: training in SiW's
               protocol 1
=============  ======================================================================
"""

from collections.abc import Callable

import numpy as np

from nasfas_jax import limits

SIW_FIRST = 60


def even(total: int, clips: int, first: int) -> list[int]:
    """Evenly spaced, from the last frame down to `first`."""
    return [int(frame) for frame in np.linspace(total - 1, first, clips)]


def cdcn_train(total: int, clips: int, first: int) -> list[int]:
    """Evenly spaced, without the video's first and last frame."""
    return even(max(total - 1, 1), clips, max(first, 1))


def cdcn_test(total: int, clips: int, first: int) -> list[int]:
    """Eight frames, whatever `clips`; the last fifth of the video is not looked at."""
    del clips, first
    return [1 + i * (total // 10) for i in range(8)]


def ssdg(total: int, clips: int, first: int) -> list[int]:
    """From the seventh frame on, at equal intervals."""
    del first
    return [6 + j * (total // clips) for j in range(clips)]


def siw_first_60(total: int, clips: int, first: int) -> list[int]:
    """Evenly spaced over the first 60 frames."""
    return even(min(total, SIW_FIRST), clips, first)


RULES: dict[str, Callable[[int, int, int], list[int]]] = {
    rule.__name__: rule for rule in (even, cdcn_train, cdcn_test, ssdg, siw_first_60)
}


def clip_ends(rule: str, total: int, clips: int, frames: int) -> list[int]:
    """Current frames of a video's clips, in order, each once.

    Args:
      rule: a name in `RULES`.
      total: number of frames of the video, at least `frames`.
      clips: number of clips, 1 or more; rules may give fewer.
      frames: number of frames of a clip, 1 or more.

    Raises:
      InputError: an unknown rule, or a number out of range.

    >>> clip_ends("even", total=20, clips=3, frames=7)
    [6, 12, 19]
    >>> clip_ends("even", total=8, clips=4, frames=7)
    [6, 7]
    >>> clip_ends("cdcn_test", total=100, clips=3, frames=7)
    [6, 11, 21, 31, 41, 51, 61, 71]
    """
    limits.require(
        sampling=(rule, limits.OneOf(RULES)),
        clips=(clips, limits.COUNT),
        frames=(frames, limits.COUNT),
    )
    low, high = frames - 1, total - 1
    found = RULES[rule](total, clips, low)
    return sorted({min(max(end, low), high) for end in found})
