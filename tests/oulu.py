"""Names of OULU-NPU's files, and trees of empty files."""

import itertools


def oulu():
    for folder, users in (("Train", (1, 21)), ("Dev", (21, 36)), ("Test", (36, 56))):
        for phone, session, user, file in itertools.product(
            range(1, 7), range(1, 4), range(*users), range(1, 6)
        ):
            yield f"{folder}_files/{phone}_{session}_{user:02d}_{file}.avi"


def touch(root, names):
    names = [root / name for name in names]
    for folder in {path.parent for path in names}:
        folder.mkdir(parents=True, exist_ok=True)
    for path in names:
        path.touch()


def small_oulu(root):
    """Two users a part, phones 1 to 3."""
    kept = [n for n in oulu() if n.split("_files/")[1][0] in "123"]
    people = ("01", "02", "21", "22", "36", "37")
    touch(root, [n for n in kept if n.rsplit("_", 2)[1] in people])
