"""Built algorithms whose encoders read an OFENet, small enough for tests."""

import d3rlpy
from d3rlpy.logging import NoopAdapterFactory

from offline_prune.ofenet import OFENetEncoderFactory
from tests.worlds import dataset

CONTINUOUS = ("bc", "td3_plus_bc", "iql", "cql", "bcq")
DISCRETE = ("discrete_bc", "discrete_bcq", "discrete_cql")
SMALL = {"n_layers": 2, "units": 3, "hidden_units": [8]}

_OPTIONS = {"cql": {"n_action_samples": 2}, "bcq": {"n_action_samples": 2}}
_CONFIGS = {
    "bc": d3rlpy.algos.BCConfig,
    "td3_plus_bc": d3rlpy.algos.TD3PlusBCConfig,
    "iql": d3rlpy.algos.IQLConfig,
    "cql": d3rlpy.algos.CQLConfig,
    "bcq": d3rlpy.algos.BCQConfig,
    "sac": d3rlpy.algos.SACConfig,
    "discrete_bc": d3rlpy.algos.DiscreteBCConfig,
    "discrete_bcq": d3rlpy.algos.DiscreteBCQConfig,
    "discrete_cql": d3rlpy.algos.DiscreteCQLConfig,
}


def make(name, data=None, seed=0, factory=None, **options):
    """A built algorithm, every network but BCQ's imitator on an OFENet."""
    data = data or dataset("vector-discrete" if name in DISCRETE else "vector-continuous")
    config_class = _CONFIGS[name]
    fields = [f for f in config_class.__dataclass_fields__ if f.endswith("encoder_factory")]
    factories = {
        field: factory or OFENetEncoderFactory(**SMALL)
        for field in fields
        if field != "imitator_encoder_factory"
    }
    d3rlpy.seed(seed)
    algo = config_class(
        **{"batch_size": 8, **_OPTIONS.get(name, {}), **factories, **options}
    ).create()
    algo.build_with_dataset(data.buffer)
    return algo


def fit(algo, data, n_steps, callback=None):
    """d3rlpy's fit, in silence."""
    return algo.fit(
        data.buffer,
        n_steps=n_steps,
        n_steps_per_epoch=n_steps,
        callback=callback,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )


def parameters(algo):
    """Copies of everything d3rlpy trains: parameters, and states of optimizers."""
    found = {}
    for field, value in vars(algo.impl.modules).items():
        if hasattr(value, "optim"):
            for i, state in value.optim.state_dict()["state"].items():
                found |= {f"{field}.{i}.{n}": t.clone() for n, t in state.items()}
        else:
            found |= {f"{field}.{n}": p.detach().clone() for n, p in value.named_parameters()}
    return found
