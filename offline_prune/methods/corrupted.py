"""Control: score on data that say nothing about the task."""

from __future__ import annotations

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset, load_dataset
from offline_prune.data.corruption import CORRUPTIONS
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.masks.mask import Mask
from offline_prune.methods.method import PruningMethod
from offline_prune.methods.wrapped import WrappedMethod

__all__ = ["Corrupted"]


class Corrupted(WrappedMethod):
    """Choose the mask on corrupted data; train on the real ones.

    Tests the claim that the offline data matter to the mask: if a mask from shuffled
    actions does as well, they do not.

    References:
        Su et al. 2020, arXiv 2009.11094.
    """

    builds_d3rlpy = True

    def __init__(
        self, inner: PruningMethod, what: str = "actions", *, dataset: str | None = None
    ) -> None:
        """Wrap a method.

        Args:
            inner: The method.
            what: ``"actions"`` or ``"rewards"``: shuffled over the transitions;
                ``"noise"``: everything drawn at random, of the data's own scale.
            dataset: Id or path of another dataset to score on instead.

        Raises:
            UnknownNameError: If there is no such corruption.
        """
        super().__init__(inner)
        if dataset is None and str(what) not in CORRUPTIONS:
            raise UnknownNameError("corruption", str(what), CORRUPTIONS)
        self.what, self.dataset = what, dataset
        self._other: Dataset | None = None

    def choose_agent(self, agent: Agent, data: Dataset) -> Agent:
        """The inner method's choice; loads the other dataset.

        Raises:
            DatasetError: If the other dataset cannot be loaded.
            InputError: If it is of another shape.
        """
        if self.dataset is not None:
            self._other = self._loaded(data, self.dataset)
        return super().choose_agent(agent, data)

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """The inner method's mask on the corrupted data."""
        if self.dataset is None:
            return super().before_training(agent, CORRUPTIONS[self.what](data, self.settings.seed))
        other, self._other = self._other or self._loaded(data, self.dataset), None
        return super().before_training(agent, other)

    @staticmethod
    def _loaded(data: Dataset, name: str) -> Dataset:
        other = load_dataset(name)
        ours, theirs = (
            (d.metadata.observation_shape, d.metadata.action_kind, d.metadata.action_size)
            for d in (data, other)
        )
        if ours != theirs:
            raise InputError(
                f"{name!r} cannot stand in for the dataset: its observation shape"
                f" and actions are {theirs}, not {ours}."
            )
        return other
