"""From video files to batches.

``sources`` lists a dataset's files as ``datasets`` has them, ``annotations`` reads what
comes with them, ``video`` samples their clips, ``faces`` finds and crops the face,
``labels`` draws the maps, ``extract`` makes a file's records of these, ``prepare`` does
so for a whole dataset (by a ``recipe``) and packs it with ``builder``, ``prepared``
opens the result, and ``pipeline`` makes batches and episodes of it.
``synthetic`` writes a set of videos to begin with, and ``standins`` others in the layouts
of real datasets.
"""
