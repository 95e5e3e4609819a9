"""Which frames become clips, by the rules of the papers."""

import pytest

from nasfas_jax.data.preparation import sampling
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError


@pytest.mark.parametrize("rule", sampling.RULES)
@pytest.mark.parametrize("total", [7, 8, 11, 61, 151])
@pytest.mark.parametrize("clips", [1, 3, 8])
def test_every_rule_gives_clips_that_lie_in_the_video(rule, total, clips):
    ends = sampling.clip_ends(rule, total, clips, frames=7)
    assert ends == sorted(set(ends)) and 1 <= len(ends) <= max(clips, 8)
    assert ends[0] >= 6 and ends[-1] < total


@pytest.mark.parametrize(
    ("rule", "total", "clips", "expected"),
    [
        # CDCN's test code with clips of one frame: ids i (N // 10) + 1 for i below 8.
        ("cdcn_test", 146, 4, [1, 15, 29, 43, 57, 71, 85, 99]),
        ("cdcn_test", 9, 4, [1]),
        # Its training code draws from 1 to N - 2.
        ("cdcn_train", 10, 8, [1, 2, 3, 4, 5, 6, 7, 8]),
        ("ssdg", 100, 4, [6, 31, 56, 81]),
        ("ssdg", 9, 4, [6, 8]),  # the last ones lie beyond the video
        ("siw_first_60", 450, 2, [0, 59]),
        ("siw_first_60", 30, 2, [0, 29]),
        ("even", 450, 2, [0, 449]),
    ],
)
def test_the_papers_frames(rule, total, clips, expected):
    assert sampling.clip_ends(rule, total, clips, frames=1) == expected


@pytest.mark.parametrize("field", ["sampling", "eval_sampling"])
def test_an_unknown_rule_is_refused(field):
    with pytest.raises(InputError, match=f"^{field}: expected one of 'even', 'non_ov"):
        Recipe(**{field: "all"})
