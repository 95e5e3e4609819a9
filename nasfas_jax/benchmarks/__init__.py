"""Measurements of time, memory and accuracy, and PyTorch peers to compare with.

``instrument`` measures the cost and accuracy of each meta-gradient mode on the ``cases``.
``gallery`` holds canonical bilevel problems.
``cdn`` and ``metagrad`` compare with the ``peers``; ``search_step`` and ``data`` measure
a search step and the preparation of data. ``timing`` holds what they share.
"""
