"""What a run came out with: the trained agent, its mask, its score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich.table import Table

from offline_prune.agents.build import d3rlpy_device
from offline_prune.agents.copying import copied
from offline_prune.base.atomic import written_aside_directory
from offline_prune.engines.lasting import keep_zeros, let_go
from offline_prune.evaluation.evaluation import Evaluation
from offline_prune.export import ExportedPolicy, export_policy
from offline_prune.masks.mask import Mask
from offline_prune.request.settings import RunSettings
from offline_prune.run.averaging import LastWeights, load_acting_weights
from offline_prune.run.folder import FORMAT, check_output_directory, saved_directory
from offline_prune.run.search import SparsitySearch
from offline_prune.run.stored import read_result, write_result
from offline_prune.run.summary import counts, network_numbers, summary_table

__all__ = ["PruneResult"]


@dataclass(frozen=True)
class PruneResult:
    """A trained, pruned agent and an honest account of it.

    Attributes:
        algo: The trained d3rlpy algorithm: plain dense weights, the pruned ones
            exactly zero. ``algo.save("agent.d3")`` opens in stock d3rlpy. ``algo.fit(…)`` goes
            on with the mask held, in layers of the original size; :meth:`release` lets go.
        mask: Which weights were kept.
        evaluation: Returns in the environment, or why there are none.
        settings: What was asked for.
        scoring_seconds: Wall-clock seconds of scoring and masking.
        training_seconds: Wall-clock seconds of training.
        history: One row an epoch: step and the mean of d3rlpy's metrics.
        last: The last weights and their score, where :attr:`algo` acts by averaged ones;
            else None.
        trained_as: Role → in which form its network was trained (masked, dense, sparse: see
            :mod:`offline_prune.engines.forms`), and why not in a faster one; empty for results
            of versions that did not note it.
        search: How the sparsity was chosen; None where it was given.
    """

    algo: Any
    mask: Mask
    evaluation: Evaluation
    settings: RunSettings
    scoring_seconds: float
    training_seconds: float
    history: tuple[Mapping[str, float], ...] = ()
    last: LastWeights | None = None
    trained_as: Mapping[str, str] = field(default_factory=dict)
    search: SparsitySearch | None = None

    def __post_init__(self) -> None:
        """Hold the mask on the algorithm: whoever trains it on trains what was kept."""
        keep_zeros(self.algo, self.mask)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled with the mask held."""
        return PruneResult, tuple(getattr(self, f.name) for f in dataclasses.fields(self))

    def release(self) -> Any:
        """Let the pruned weights train again, from 0: what comes of it is dense.

        Returns:
            The algorithm.
        """
        let_go(self.algo)
        return self.algo

    @property
    def steps_per_second(self) -> float:
        """Gradient steps a second of training."""
        return self.settings.n_steps / self.training_seconds

    def with_last_weights(self) -> PruneResult:
        """The same run with the weights that training ended with, as a copy.

        Returns:
            A result whose algorithm acts by the last weights and is worth
            ``last.evaluation``; this one where nothing was averaged.
        """
        if self.last is None:
            return self
        algo = copied(self.algo)
        load_acting_weights(algo, self.last.weights)
        settings = dataclasses.replace(self.settings, averaging="none")
        return dataclasses.replace(
            self, algo=algo, evaluation=self.last.evaluation, settings=settings, last=None
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything that is a number or a word, ready for JSON.

        Returns:
            Settings, timings, sparsities in total and per network, and the evaluation
            (None where not evaluated).
        """
        settings = dataclasses.asdict(self.settings)
        asked = settings.pop("sparsity")
        evaluation = self.evaluation
        last = None if self.last is None else self.last.evaluation
        return {
            **settings,
            "requested_sparsity": asked,
            **counts(self.mask),
            "scoring_seconds": self.scoring_seconds,
            "training_seconds": self.training_seconds,
            "steps_per_second": self.steps_per_second,
            "mean_return": evaluation.mean_return,
            "std_return": evaluation.std_return,
            "normalized_score": evaluation.normalized_score,
            "success_rate": evaluation.success_rate,
            "returns": None if evaluation.returns is None else list(evaluation.returns),
            "evaluation_seeds": list(evaluation.seeds),
            "not_evaluated": evaluation.reason,
            "off_policy": None
            if evaluation.off_policy is None
            else evaluation.off_policy.to_dict(),
            "last_mean_return": None if last is None else last.mean_return,
            "last_std_return": None if last is None else last.std_return,
            "last_normalized_score": None if last is None else last.normalized_score,
            "last_returns": None if last is None or last.returns is None else list(last.returns),
            "networks": network_numbers(self.mask),
            "trained_as": dict(self.trained_as),
            "search": None if self.search is None else self.search.to_dict(),
        }

    def summary(self) -> Table:
        """The run as a table for the terminal or a notebook.

        Returns:
            A rich table: ``rich.print(result.summary())``.
        """
        return summary_table(self._content(), self.settings)

    def _content(self) -> dict[str, Any]:
        """What ``result.json`` holds."""
        last = self.last
        return {
            "format": FORMAT,
            **self.to_dict(),
            "evaluation": dataclasses.asdict(self.evaluation),
            "last_evaluation": None if last is None else dataclasses.asdict(last.evaluation),
            "settings": dataclasses.asdict(self.settings),
        }

    def save(self, directory: str | Path) -> Path:
        """Write the result into a new folder, whole or not at all.

        ``params.json`` and ``model.pt`` are d3rlpy's own files and open without this
        package: ``CQL.from_json("params.json").load_model("model.pt")``.

        Args:
            directory: The folder; it may exist only if it is empty.

        Returns:
            The folder.

        Raises:
            OutputDirectoryError: If the folder already holds something; it is left
                as it is.
            WriteError: If the disk is full or refuses; nothing is left.
        """
        directory = check_output_directory(directory)
        with written_aside_directory(directory) as aside:
            write_result(self, self._content(), aside)
        return directory

    def export(
        self,
        path: str | Path,
        observations: NDArray[Any] | None = None,
        *,
        dtype: str = "float32",
    ) -> ExportedPolicy:
        """Write the acting policy as a file that runs without this package.

        See :func:`~offline_prune.export.export_policy`: dead units leave, and the written
        file is run and compared with ``algo.predict``.

        Args:
            path: Ends in ``.onnx``, ``.pt`` (TorchScript) or ``.c`` (C99). An existing
                file is replaced.
            observations: (N, *observation shape) to compare on; None takes them from the
                dataset.
            dtype: Of the weights: ``"float32"``; in C also ``"float16"`` and
                ``"int8"``, which is calibrated on the observations.

        Returns:
            What was written.

        Raises:
            InputError: If the dataset has no id and there are no observations, they do
                not fit, or the format is not known.
            UnsupportedExportError: If the policy or one of its layers has no such form,
                or a package is missing.
            ExportError: If the written file computes something else; nothing is left.
        """
        return export_policy(
            self.algo,
            path,
            observations,
            dtype=dtype,
            dataset=self.settings.dataset,
            frame_stack=self.settings.frame_stack,
        )

    @classmethod
    def load(cls, directory: str | Path, *, device: str = "cpu") -> PruneResult:
        """Read a result that :meth:`save` wrote; no code of the files is executed.

        Args:
            directory: The folder.
            device: Where to put the networks.

        Returns:
            The result; its algorithm predicts and trains as the saved one did.

        Raises:
            OutputDirectoryError: If the folder is not a whole result.
        """
        with saved_directory(directory) as found:
            return cls(**read_result(found, d3rlpy_device(device)))
