"""Data: from video files to batches.

``media`` decodes videos and pictures. ``datasets`` lists the files of each dataset with
their annotations, and ``protocols`` divides them into training, development and test.
``preparation`` turns files into records, once; ``loading`` opens the records and makes
batches and episodes.
"""
