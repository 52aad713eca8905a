"""Spreads work over processes of this machine (joblib's loky) or over the machines of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from models.errors import ConfigError
from trainer.progress import progress

_CONNECT_S = 10
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Workers:
    """How many do the work, and where."""

    count: int = 1
    on_ray: bool = False

    def each(self, function: Callable[[Item], Result], items: Sequence[Item], what: str, unit: str) -> list[Result]:
        """What `function`, which other processes can import, makes of each, in their order, with a bar.

        The first exception that it raises is raised here and ends the others.
        """
        from joblib import Parallel, delayed, parallel_config

        found: dict[int, Result] = {}
        backend = "ray" if self.on_ray else "loky"
        how = "list" if self.on_ray else "generator_unordered"  # Ray's backend gives all at the end, so its bar waits
        with (
            parallel_config(backend=backend, n_jobs=self.count),
            progress(None, what, unit=unit, total=len(items)) as bar,
        ):
            calls = (delayed(_numbered)(function, number, item) for number, item in enumerate(items))
            # One at a time: fits differ in length by hours, and what is begun is lost when a study is stopped.
            for number, result in Parallel(return_as=how, batch_size=1, pre_dispatch="n_jobs")(calls):
                found[number] = result
                bar.update()
        return [found[number] for number in range(len(items))]


@contextlib.contextmanager
def workers(jobs: int | None, ray_address: str | None) -> Iterator[Workers]:
    """`jobs` at a time; None is one here, and one for each machine of the cluster at `ray_address`.

    "local" starts a cluster of this machine alone. On other machines mekiki must be installed, and the data and OUT lie
    at the same paths. Raises ConfigError where Ray is not installed or does not answer.
    """
    if ray_address is None:
        yield Workers(jobs or 1)
        return
    ray = _ray()
    _refuse_deaf(ray_address)
    try:
        ray.init(address=ray_address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"--ray {ray_address}: no cluster answers ({words}); see `ray status`, or leave it out"
        ) from error
    try:
        yield Workers(jobs or sum(node["Alive"] for node in ray.nodes()), on_ray=True)
    finally:
        ray.shutdown()


def _refuse_deaf(address: str) -> None:
    """Ray itself tries for minutes where nobody listens."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # "auto", "local"
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--ray {address}: nobody listens there ({error}); see `ray status`, or leave it out"
        ) from error


def _numbered(function: Callable[[Item], Result], number: int, item: Item) -> tuple[int, Result]:
    return number, function(item)


def _ray() -> Any:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise ConfigError(
            "--ray: Ray is not installed here; install mekiki with its extra `ray`, or leave it out"
        ) from error
    register_ray()
    return ray
