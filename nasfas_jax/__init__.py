"""Face anti-spoofing by searched networks and meta-learning, in JAX.

The rooms: ``ops`` (operators), ``losses``, ``layers``, ``search`` (spaces, supernet,
genotype), ``nets``, ``bilevel`` (derivatives through inner updates), ``methods``
(training and search steps), ``data``, ``evaluation``, ``report``, ``runtime`` and
``commands`` (the ``nasfas`` command line).
"""

__version__ = "0.1.0"
