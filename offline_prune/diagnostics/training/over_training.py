"""Diagnostics of networks while they are trained, through d3rlpy's own logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from d3rlpy.dataset import ReplayBufferBase
from torch import Tensor

from offline_prune.base.arguments import check_seed, finite_number, whole_number
from offline_prune.data import Dataset
from offline_prune.diagnostics.networks.dormant import dormant_fraction
from offline_prune.diagnostics.networks.effective_rank import srank
from offline_prune.diagnostics.networks.parameters import measured_sparsity, parameter_norm
from offline_prune.diagnostics.networks.probe import Probe, draw_probe
from offline_prune.diagnostics.networks.q_values import q_norm, q_variance
from offline_prune.diagnostics.networks.shadow import Shadow, ShadowNetwork
from offline_prune.diagnostics.training.evaluators import SharedMeasurement
from offline_prune.errors import InputError

__all__ = ["NetworkDiagnostics"]

Measured: TypeAlias = dict[str, float]


class NetworkDiagnostics:
    """Measures the networks of an algorithm on a fixed probe batch.

    For every network, by role (``actor``, ``critic[0]``, …; targets are left out):

    - ``dormant_<role>``: :func:`~offline_prune.diagnostics.dormant_fraction` of the hidden
      units of its encoder; both encoders of a VAE together. Left out where there are
      none.
    - ``srank_<role>``: :func:`~offline_prune.diagnostics.srank` of its penultimate layer,
      the output of its encoder; of a VAE, the decoder's.
    - ``parameter_norm_<role>``: :func:`~offline_prune.diagnostics.parameter_norm`.
    - ``sparsity_<role>``: :func:`~offline_prune.diagnostics.measured_sparsity`.

    Of an algorithm with critics, over the probe's observations and actions, each value
    the mean of the critics as in d3rlpy's ``predict_value``:

    - ``q_norm``: :func:`~offline_prune.diagnostics.q_norm`.
    - ``q_variance``: :func:`~offline_prune.diagnostics.q_variance`.

    Values are in units of the reward scaler where there is one. A layer that two networks
    share is looked at in both; its parameters and weights count in the first, as in
    :class:`~offline_prune.Agent`.

    Everything is measured on a copy in evaluation mode, with a random generator of its
    own: training is the same, bit for bit, with diagnostics and without. Any engine may
    hold the networks meanwhile; the units that are counted are those of the original
    layers. Two ways into d3rlpy's logs::

        diagnostics = NetworkDiagnostics(data)
        algo.fit(data.buffer, …, evaluators=diagnostics.evaluators(algo))

        diagnostics = NetworkDiagnostics(buffer)  # what fit_online fills
        logs = DiagnosticsAdapterFactory(FileAdapterFactory(), diagnostics)
        algo.fit_online(env, buffer, …, logger_adapter=logs)

    References:
        Obando-Ceron, Courville & Castro 2024, In value-based deep reinforcement learning,
        a pruned network is a good network, arXiv 2402.12479: the analyses.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune import load_dataset
        >>> from offline_prune.diagnostics import NetworkDiagnostics
        >>> diagnostics = NetworkDiagnostics(load_dataset("pendulum/mixture-v0"))
        >>> sorted(diagnostics(scored.agent.algo))
        ['dormant_actor', 'parameter_norm_actor', 'sparsity_actor', 'srank_actor']
    """

    def __init__(
        self,
        data: Dataset | ReplayBufferBase,
        n_transitions: int = 512,
        seed: int = 0,
        tau: float = 0.025,
        delta: float = 0.01,
    ) -> None:
        """Prepare; the probe is drawn at the first measurement and kept.

        Args:
            data: Where the probe comes from: a dataset, or a d3rlpy replay buffer that
                may still be empty.
            n_transitions: Size of the probe; fewer where there are fewer. No rank is
                larger than that.
            seed: Of the draw.
            tau: Threshold of dormancy, from 0 on.
            delta: Share of the singular values that srank leaves out, in [0, 1).

        Raises:
            InputError: If an argument is out of range or of another kind.
        """
        if not isinstance(data, Dataset | ReplayBufferBase):
            raise InputError(
                "The probe comes from a Dataset (load_dataset(...)) or a d3rlpy replay"
                f" buffer, not {type(data).__name__}."
            )
        n_transitions = whole_number("n_transitions", n_transitions, 1)
        seed = check_seed(seed)
        if finite_number("tau", tau) < 0:
            raise InputError(f"tau is a number from 0 on, not {tau!r}.")
        if not 0 <= finite_number("delta", delta) < 1:
            raise InputError(f"delta lies in [0, 1), not {delta!r}.")
        self._data, self._n_transitions, self._seed = data, n_transitions, seed
        self._tau, self._delta = tau, delta
        self._probe: Probe | None = None
        self._shadow: Shadow | None = None

    @property
    def probe(self) -> Probe:
        """The probe, drawn when it is first asked for.

        Raises:
            DatasetError: If the replay buffer is still empty.
        """
        if self._probe is None:
            self._probe = draw_probe(self._data, self._n_transitions, self._seed)
        return self._probe

    def names(self, algo: Any) -> tuple[str, ...]:
        """What will be measured; needs no data.

        Args:
            algo: A built d3rlpy algorithm.

        Returns:
            The names, in order.

        Raises:
            AlgorithmError: If it is not a d3rlpy Q-learning algorithm, or not built.
        """
        shadow = self._shadow_of(algo)
        with torch.no_grad():  # any input will do: the names do not depend on it
            return tuple(self._measure(shadow, [shadow.zero_inputs()]))

    def __call__(self, algo: Any) -> Measured:
        """Measure an algorithm as it is now.

        Args:
            algo: A built d3rlpy algorithm, held by any engine or none; its scalers are
                built, as they are in training.

        Returns:
            Name → value; NaN where an activation, a feature or a value is not finite.

        Raises:
            AlgorithmError: If it is not a d3rlpy Q-learning algorithm, not built, or its
                networks are not those of its config.
            DatasetError: If the replay buffer is still empty.
        """
        shadow = self._shadow_of(algo)
        shadow.take(algo)
        with torch.no_grad():
            return self._measure(shadow, list(self.probe.batches(shadow.algo)))

    def evaluators(self, algo: Any) -> dict[str, Callable[[Any, Any], float]]:
        """The diagnostics as evaluators of d3rlpy's ``fit``.

        They share one measurement an epoch: a new one is made as soon as an algorithm has
        taken gradient steps, or a diagnostic is asked for a second time.

        Args:
            algo: The d3rlpy algorithm that will be trained; built, since its networks
                decide what there is to measure.

        Returns:
            Name → evaluator, called with an algorithm and a dataset that is ignored: the
            probe is measured with. The values land in the logs and in the history that
            ``fit`` returns.

        Raises:
            AlgorithmError: If it is not a d3rlpy Q-learning algorithm, or not built.
        """
        shared = SharedMeasurement(self)
        return {name: partial(shared.evaluate, name) for name in self.names(algo)}

    def _shadow_of(self, algo: Any) -> Shadow:
        if self._shadow is None or not self._shadow.fits(algo):
            self._shadow = Shadow.of(algo)
        return self._shadow

    def _measure(self, shadow: Shadow, batches: Sequence[tuple[Tensor, Tensor]]) -> Measured:
        measured: Measured = {}
        for network in shadow.networks:
            found = self._measure_network(network, batches)
            measured |= {f"{kind}_{network.role}": value for kind, value in found.items()}
        if any(network.role.startswith("critic[") for network in shadow.networks):
            values = torch.cat([shadow.algo.impl.predict_value(*batch) for batch in batches])
            measured |= {"q_norm": q_norm(values), "q_variance": q_variance(values)}
        return measured

    def _measure_network(
        self, network: ShadowNetwork, batches: Sequence[tuple[Tensor, Tensor]]
    ) -> Measured:
        found: Measured = {}
        if network.encoders:
            seen = [network.observe(*batch) for batch in batches]
            layers = [torch.cat(parts) for parts in zip(*(a for a, _ in seen), strict=True)]
            if layers:
                found["dormant"] = dormant_fraction(layers, self._tau)
            found["srank"] = srank(torch.cat([features for _, features in seen]), self._delta)
        found["parameter_norm"] = parameter_norm(network.parameters)
        if network.weights:
            found["sparsity"] = measured_sparsity(network.weights)
        return found
