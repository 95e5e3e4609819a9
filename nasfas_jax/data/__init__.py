"""From video files to batches.

``sources`` lists a dataset's files as ``datasets`` has them, ``annotations`` reads what
comes with them, ``video`` reads their clips where a rule of ``sampling`` asks,
``faces`` finds and crops the face, ``maps`` chooses where label maps come from and
``labels`` draws them (of ``landmarks``, if there is a model), ``extract`` makes a
file's records of these and ``extracted`` is the file that holds them, ``prepare`` does
so for a whole dataset (by a ``recipe``) and packs it with ``builder``; ``beam`` spreads
both over a cluster.  ``prepared`` opens the result, ``pipeline`` makes batches and
episodes of it, and ``augment`` changes them.
``synthetic`` writes a set of videos to begin with, and ``standins`` others in the layouts
of real datasets.
"""
