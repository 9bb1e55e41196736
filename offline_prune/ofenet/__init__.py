"""OFENet: RL on features that are learned by predicting the next state.

A wide DenseNet is trained on the auxiliary loss alone; actor, critics and targets read
its features. ``OFENetEncoderFactory`` makes d3rlpy's encoders, ``share_ofenet`` gives
them one network, ``OFENetTrainer`` trains it, before RL and during::

    factory = OFENetEncoderFactory.for_environment("Hopper-v5")
    config = d3rlpy.algos.TD3PlusBCConfig(
        actor_encoder_factory=factory, critic_encoder_factory=factory
    )
    algo = config.create()
    algo.build_with_dataset(data.buffer)
    trainer = OFENetTrainer(algo, data)
    trainer.pretrain(10_000)
    algo.fit(data.buffer, n_steps=100_000, callback=trainer)

The paper (Ota et al. 2020, arXiv 2003.01629) gives network, loss and sizes. What this
package chose where it says nothing, or otherwise than its authors' code:

- RL reads features with the running statistics of batch normalisation; the auxiliary
  loss uses those of the mini-batch. (So does the authors' code.)
- Nothing of RL trains the OFENet. A critic's gradient passes through ψ to the action, for
  the actor's loss, and leaves ψ as it is.
- Targets read the current features; only the layers on top of them lag behind.
- The predicted state is the whole next observation, scaled. The authors' code leaves
  contact forces out of it (Ant, Humanoid).
- torch's initial weights, and its ε = 10⁻⁵ and momentum of .1 in batch normalisation.
- Transitions into the end of an episode are predicted too, where the observation there
  is on record.

Files of d3rlpy's carry the OFENet. To open one, import this package first: that is what
tells d3rlpy of the encoder type. The state of the trainer's optimizer is not in them.
"""

from __future__ import annotations

from offline_prune.ofenet.auxiliary import auxiliary_batch_loss, auxiliary_loss, trainable
from offline_prune.ofenet.dense_net import DenseBlock, DenseNet, dense_net_parameters
from offline_prune.ofenet.encoder import (
    OFENetEncoder,
    OFENetEncoderFactory,
    OFENetEncoderWithAction,
    OFENetReader,
)
from offline_prune.ofenet.network import OFENet, ofenet_parameters
from offline_prune.ofenet.sharing import find_ofenet, find_readers, share_ofenet
from offline_prune.ofenet.trainer import OFENetTrainer

__all__ = [
    "DenseBlock",
    "DenseNet",
    "OFENet",
    "OFENetEncoder",
    "OFENetEncoderFactory",
    "OFENetEncoderWithAction",
    "OFENetReader",
    "OFENetTrainer",
    "auxiliary_batch_loss",
    "auxiliary_loss",
    "dense_net_parameters",
    "find_ofenet",
    "find_readers",
    "ofenet_parameters",
    "share_ofenet",
    "trainable",
]
