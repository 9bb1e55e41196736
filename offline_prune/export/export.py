"""export_policy: the acting policy as a file that runs without this package."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from d3rlpy.algos import QLearningAlgoBase, TransformerAlgoBase
from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy, acting_policy
from offline_prune.data import load_dataset
from offline_prune.data.descriptions import action_words, observation_words
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.export.checked import ExportedPolicy, format_of, write_checked
from offline_prune.export.source import Source

__all__ = ["export_policy"]

_HOSTS = {"stable_baselines3": "offline_prune.hosts.sb3.export"}
"""Package of a model's class → who makes a source of it, imported when there is one."""


def export_policy(
    algo: Any,
    path: str | Path,
    observations: NDArray[Any] | None = None,
    *,
    dtype: str = "float32",
    as_: str | None = None,
    dataset: str | None = None,
    frame_stack: int = 1,
    normalization: Any = None,
    trust: bool = False,
) -> ExportedPolicy:
    """Write what an agent's own ``predict`` computes as a file, checked, whole or not at all.

    Dead units leave first (:func:`~offline_prune.export.acting_policy`): exact zeros among
    the weights count as pruned, wherever they come from. The written file is run on the
    observations and compared with ``algo.predict``, to 10⁻⁵ of the largest action, or
    action for action but for ties. Smaller weights cost accuracy: what they cost is in the
    result, and beyond 1 % of the largest action (float16) or 20 % (int8) nothing is written;
    discrete actions may differ where both score the same to that.

    Args:
        algo: A built d3rlpy algorithm, or a model or a policy of Stable-Baselines3 or
            sb3-contrib (``model.predict(…, deterministic=True)`` is what its file does); it stays
            as it is. One whose layers an engine holds as sparse kernels is refused: let go first
            (``engine.detach()``).
        path: Ends in ``.onnx``, ``.pt`` (TorchScript) or ``.c`` (C99). An existing file
            is replaced.
        observations: (N, *observation shape), as the environment gives them; up to 256
            of them, evenly spaced, are compared; None takes those of the dataset, and for
            Stable-Baselines3 draws them. Of a Dict space: part → array. The file reads images
            (H, W, C) where these are, else (C, H, W).
        dtype: Of the weights: ``"float32"``; in ONNX and C also ``"float16"``, and ``"int8"``,
            which computes in integers that are calibrated on up to 4,096 of the observations: in
            ONNX in the standard QDQ form, in C without residual blocks and padding.
        as_: ``"cmake"`` or ``"arduino"``: the path is a new folder of C, with a header and what
            the build system reads; its name is that of the library and what functions begin with,
            as in ``walker_act``. None writes one file.
        dataset: Id of the dataset, of a d3rlpy algorithm; the file's comment names it.
        frame_stack: Frames that an observation is stacked of
            (:meth:`~offline_prune.data.Dataset.with_frame_stack`), of a d3rlpy algorithm; the
            file reads stacks; in C ``policy_step`` takes one frame and keeps the stack.
        normalization: Of a Stable-Baselines3 model, the ``VecNormalize`` that it was trained in,
            or the path of what its ``save`` wrote: its statistics become part of the file. None
            takes the one around the model's own environment, if any; False none.
        trust: Whether to open such a path. It is a pickle, which runs what is in it.

    Returns:
        What was written.

    Raises:
        UnknownNameError: If there is no format of the path's suffix, no such project or dtype.
        OutputDirectoryError: If a project's folder holds something.
        AlgorithmError: If the algorithm is not built or not one this package knows.
        InputError: If the observations or the statistics do not fit, or there are none.
        UntrustedFileError: If a pickle is to be opened that is not trusted.
        UnsupportedExportError: If the policy samples (BCQ) or remembers (transformers,
            RecurrentPPO), a package is missing, or the format has no form of one of its layers.
        ExportError: If the written file computes something else; nothing is left.

    Examples:
        >>> import tempfile
        >>> from offline_prune import export_policy, load_dataset, prune
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> agent, _ = prune(data, "bc", sparsity=0.9)
        >>> agent.engine.detach()  # the compact form goes, the zeros stay
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = export_policy(agent.algo, f"{folder}/policy.pt", data.observations[:10])
        >>> written.path.name
        'policy.pt'
    """
    if not isinstance(path, str | Path):
        raise InputError(f"path is that of the file to write, not {type(path).__name__}.")
    path = Path(path)
    packages = {kind.__module__.partition(".")[0] for kind in type(algo).__mro__}
    host = next((home for package, home in _HOSTS.items() if package in packages), None)
    if host is not None:
        if dataset is not None or frame_stack != 1:
            raise InputError(
                "dataset= and frame_stack= are for d3rlpy's algorithms. Of a model of another"
                " library, pass observations=."
            )
        format_of(path, dtype, as_)
        source, sample = import_module(host).source(algo, observations, normalization, trust=trust)
        return write_checked(source, path, sample, dtype, as_)
    if not isinstance(algo, QLearningAlgoBase | TransformerAlgoBase):
        raise AlgorithmError(
            "algo is a built d3rlpy algorithm or a model of Stable-Baselines3, not"
            f" {type(algo).__name__}."
        )
    if normalization is not None:
        raise InputError(
            "normalization= is for models of Stable-Baselines3; a d3rlpy algorithm has its"
            " observation scaler, which is exported with it."
        )
    format_of(path, dtype, as_)
    policy = acting_policy(algo)
    first_action, environment = 0, None
    words: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    if observations is None:
        if dataset is None:
            raise InputError(
                "The dataset has no id, so it cannot be loaded again. Pass observations=, some"
                " of its observations: the written file is compared with the agent on them."
            )
        data = load_dataset(dataset).with_frame_stack(frame_stack)
        observations, first_action = data.observations, data.metadata.action_start
        words = observation_words(data.metadata), action_words(data.metadata)
        environment = data.metadata.env_spec
    about = _about(algo, policy, dataset, first_action, frame_stack)
    if environment is not None:
        about["environment"] = environment.id
    source = Source(
        policy, algo.predict, "algo.predict", about, first_action, *words, frame_stack=frame_stack
    )
    return write_checked(source, path, observations, dtype, as_)


def _about(
    algo: Any, policy: ActingPolicy, dataset: str | None, first_action: int, frame_stack: int
) -> dict[str, str]:
    stacked = f"stacks of {frame_stack} frames, newest last, zeros before an episode's first"
    counted = f"counted from 0; the environment's are {first_action} more"
    return {
        "algorithm": type(algo).__name__,
        "dataset": dataset or "not named",
        "sparsity": f"{policy.sparsity:.2%} of the {policy.n_weights} weights of the acting"
        f" networks are zero, {policy.n_nonzero} are not",
        **({"observations": stacked} if frame_stack > 1 else {}),
        **({"actions": counted} if first_action else {}),
    }
