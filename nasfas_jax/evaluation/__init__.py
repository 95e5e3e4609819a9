"""Score files, thresholds, error rates.

Live is 1 and spoof is 0, a higher score means live, and a sample is accepted when
``score >= threshold``, in every function and file. The threshold comes from development
data and is applied to test data; what looks at the test labels to choose a threshold is
named ``oracle_``.
"""
