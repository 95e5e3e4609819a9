"""Five canonical bilevel problems, one short self-contained file each.

    sinusoids          MAML: initial weights for few-shot regression (Finn et al. 2017)
    images             the same for image classes, with a convolutional network
    penalties          thousands of L2 penalties, one per weight (Maclaurin et al. 2015)
    label_noise        weights of training examples with wrong labels (Ren et al. 2018)
    learned_optimizer  update rule of 100 steps (Andrychowicz et al. 2016)
    operations         DARTS in a small space (Liu et al. 2019)

Each file has ``draw(key)``, which returns the four arguments of its ``meta_gradient``:
parameters, hyperparameters, inner and outer batch. ``meta_gradient`` returns the value of
the objective and its derivative; the losses and the mode are arguments. The files import
only jax, optax and `bilevel` (``images`` also `ops`): copy one and change it. `compare`
measures them beside other libraries.
"""
