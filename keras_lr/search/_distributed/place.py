"""Where a search trains: in its own process, in workers on this machine, or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from keras_lr._utils.progress import notice
from keras_lr._utils.validation import is_number, missing_package, whole_number
from keras_lr.errors import InvalidArgumentError
from keras_lr.search._keras_tuner import roles
from keras_lr.search._session import Pool

_VARIABLES = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")
Role = Literal["alone", "chief", "worker"]


def role() -> Role:
    """The role of this process, by KerasTuner's three environment variables.

    Raises:
        InvalidArgumentError: Some but not all of them are set.
    """
    try:
        if not roles.has_chief_oracle():
            return "alone"
    except RuntimeError as err:
        raise InvalidArgumentError(f"{err} Set all three variables, or none.") from err
    return "chief" if roles.is_chief_oracle() else "worker"


@dataclass(frozen=True)
class Place:
    """Where to train.

    Attributes:
        workers: Number of workers to start on this machine; None for none.
        cluster: Address of a Dask scheduler, or a `distributed.Client`; None for none.
        resources: What each share takes of its worker.
        wait: Seconds to wait for a worker.
        role: Role of this process.
    """

    workers: int | None
    cluster: Any
    resources: Mapping[str, float]
    wait: float
    role: Role

    @classmethod
    def of(cls, workers: Any, cluster: Any, resources: Any, wait: Any) -> Place:
        """The place that the arguments of `search` name.

        Raises:
            InvalidArgumentError: One of them breaks its rule, or contradicts another or KerasTuner's variables.
        """
        part = role()
        given = [name for name, value in (("workers", workers), ("cluster", cluster)) if value is not None]
        if len(given) > 1:
            raise InvalidArgumentError("`workers` and `cluster` exclude each other. Pass one of them.")
        if given and part != "alone":
            raise InvalidArgumentError(
                f"`{given[0]}` cannot be combined with KerasTuner's environment variables, which already make this "
                f"process part of another search. Leave one of them out."
            )
        if resources and cluster is None:
            raise InvalidArgumentError(
                "`resources` must be what a worker of `cluster` declares. Received them without `cluster`. Omit them."
            )
        if not isinstance(resources or {}, Mapping) or not all(
            is_number(amount) and amount > 0 for amount in (resources or {}).values()
        ):
            raise InvalidArgumentError(
                f"`resources` must map names to positive numbers. Received: {resources!r}. Pass for example "
                f"{{'GPU': 1}}."
            )
        if not is_number(wait) or not wait >= 0:
            raise InvalidArgumentError(f"`wait` must be a number of seconds >= 0. Received: {wait!r}.")
        count = None if workers is None else whole_number("workers", workers)
        return cls(count, cluster, resources or {}, float(wait), part)

    @property
    def is_here(self) -> bool:
        """Whether this process trains."""
        return self.workers is None and self.cluster is None and self.role == "alone"

    @property
    def address(self) -> tuple[str, int]:
        """Where the scheduler listens that this process starts, or the one of KerasTuner's chief."""
        if self.role == "alone":
            return "127.0.0.1", 0
        host, port = os.environ["KERASTUNER_ORACLE_IP"], os.environ["KERASTUNER_ORACLE_PORT"]
        return host, whole_number("KERASTUNER_ORACLE_PORT", int(port) if port.isdecimal() else port)

    def end_worker(self) -> None:
        """In a worker, trains what its chief sends, and then ends the process.

        Raises:
            SearchError: The chief cannot be reached within `wait`, or has gone.
        """
        if self.role == "worker":
            host, port = self.address
            for name in _VARIABLES:
                # The tuners that train here for the chief know of none.
                del os.environ[name]
            _dask().run_worker(f"tcp://{host}:{port}", connect_seconds=self.wait)
            raise SystemExit(0)

    def open(self, search: Any, logs: Path, verbose: Any) -> AbstractContextManager[Pool]:
        """The workers, within a context; see `open_pool`. `verbose` is 0 to show no notice."""
        pool: AbstractContextManager[Pool] = _dask().open_pool(
            search, self, logs=logs, notify=lambda line: notice(line, verbose=verbose)
        )
        return pool


def _dask() -> Any:
    try:
        from keras_lr.search._distributed import dask_pool
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("dask", "distributed", "cloudpickle"):
            raise
        raise missing_package("Training in workers", "Dask", "dask") from error
    return dask_pool
