"""Rules that select the clips of a video, by name.

A rule computes the current frames of the clips from the number N of frames of the video.
A clip consists of its current frame and K - 1 earlier frames, each ``interval`` frames
before the next; it spans (K - 1) interval + 1 frames.  Frames are numbered from 0.  A
current frame that is too early for a clip is moved to the end of the first possible clip,
and duplicates are removed.

===============  ====================================================================
even             ``clips`` frames evenly spaced up to the last one
non_overlapping  as ``even``, with at most as many clips as fit one after the other, so
                 that the spans of no two clips overlap (EulerNet)
cdcn_train       ``clips`` frames evenly spaced over 1 .. N - 2, the range from which
                 CDCN's training code draws one frame at random per epoch
cdcn_test        1 + i (N // 10), i = 0 .. 7: CDCN's test code
ssdg             6 + j (N // clips), j = 0 .. clips - 1: SSDG's code
siw_first_60     ``clips`` frames evenly spaced over the first 60: training in SiW's
                 protocol 1
===============  ====================================================================
"""

from collections.abc import Callable

import numpy as np

from nasfas_jax import limits

SIW_FIRST = 60


def even(total: int, clips: int, first: int) -> list[int]:
    """Evenly spaced from `first` to the last frame."""
    return [int(frame) for frame in np.linspace(total - 1, first, clips)]


def non_overlapping(total: int, clips: int, first: int) -> list[int]:
    """Evenly spaced, at least a clip's span of `first` + 1 frames apart."""
    return even(total, min(clips, total // (first + 1)), first)


def cdcn_train(total: int, clips: int, first: int) -> list[int]:
    """Evenly spaced, excluding the first and the last frame of the video."""
    return even(max(total - 1, 1), clips, max(first, 1))


def cdcn_test(total: int, clips: int, first: int) -> list[int]:
    """Eight frames for any `clips`; the last fifth of the video is not used."""
    del clips, first
    return [1 + i * (total // 10) for i in range(8)]


def ssdg(total: int, clips: int, first: int) -> list[int]:
    """Equally spaced, starting at the seventh frame."""
    del first
    return [6 + j * (total // clips) for j in range(clips)]


def siw_first_60(total: int, clips: int, first: int) -> list[int]:
    """Evenly spaced over the first 60 frames."""
    return even(min(total, SIW_FIRST), clips, first)


RULES: dict[str, Callable[[int, int, int], list[int]]] = {
    rule.__name__: rule
    for rule in (even, non_overlapping, cdcn_train, cdcn_test, ssdg, siw_first_60)
}


def clip_ends(
    rule: str, total: int, clips: int, frames: int, interval: int = 1
) -> list[int]:
    """Current frames of the clips of a video, ascending and distinct.

    Args:
      rule: a name in `RULES`.
      total: number of frames of the video, at least the span of a clip.
      clips: number of clips, 1 or more; a rule may select fewer.
      frames: number of frames per clip, 1 or more.
      interval: number of video frames from one frame of a clip to the next, 1 or more.

    Raises:
      InputError: an unknown rule, or a number out of range.

    >>> clip_ends("even", total=20, clips=3, frames=7)
    [6, 12, 19]
    >>> clip_ends("even", total=8, clips=4, frames=7)
    [6, 7]
    >>> clip_ends("cdcn_test", total=100, clips=3, frames=7)
    [6, 11, 21, 31, 41, 51, 61, 71]
    >>> clip_ends("non_overlapping", total=32, clips=8, frames=4, interval=3)
    [9, 20, 31]
    """
    limits.require(
        sampling=(rule, limits.OneOf(RULES)),
        clips=(clips, limits.COUNT),
        frames=(frames, limits.COUNT),
        interval=(interval, limits.COUNT),
    )
    low, high = (frames - 1) * interval, total - 1
    found = RULES[rule](total, clips, low)
    return sorted({min(max(end, low), high) for end in found})
