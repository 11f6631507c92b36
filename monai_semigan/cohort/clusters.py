# SPDX-License-Identifier: Apache-2.0
"""Dask clusters for a cohort: processes of this machine, jobs of SLURM or PBS, or a scheduler that runs already.

Queues, accounts, times and certificates are those of Dask's own configuration (docs.dask.org, "Configuration").
"""

from __future__ import annotations

import logging
import multiprocessing
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, Protocol

from monai_semigan.errors import BackendError, ConfigError

try:
    import dask
    from distributed import Client, LocalCluster
    from distributed.utils import get_mp_context
except ImportError as error:
    raise ConfigError(
        "`engine` must be serial or shard where Dask is not installed. For dask: pip install 'monai_semigan[cohort]'."
    ) from error

__all__ = ["ANSWER_S", "GPU", "ClusterOptions", "Clustered", "open_cluster", "worker_job"]

ADDRESS: Final = re.compile(r"(tcp|tls|ucx|wss?)://.+:\d+")

JOBS: Final = {"slurm": "SLURMCluster", "pbs": "PBSCluster"}
"""Classes of dask_jobqueue."""

GPU: Final = "GPU"
"""Name of the resource of which a worker has one, and which a case on CUDA needs."""

ANSWER_S: Final = 15
"""How long a scheduler may take to answer, seconds."""

MEMORY: Final = "8GB"
"""Of a job, where Dask's configuration says nothing."""


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Which workers a cohort runs on.

    Attributes:
        cluster: ``local``: processes of this machine; ``slurm``, ``pbs``: jobs; or the address of a Dask scheduler with
            workers, such as ``tcp://node1:8786``.
        num_workers: Processes or jobs, each with a thread and a model. Workers behind an address are all used.
        host: Where the scheduler of ``local``, ``slurm`` and ``pbs`` listens. Whoever reaches it can run programs as
            you, unless Dask's configuration demands certificates.

    Raises:
        ConfigError: There is no such cluster, or no worker.
    """

    cluster: str = "local"
    num_workers: int = 2
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        if self.cluster not in ("local", *JOBS) and not ADDRESS.fullmatch(self.cluster):
            raise ConfigError(
                "`cluster` must be local, slurm, pbs or an address such as tcp://node1:8786, got another text."
            )
        if self.num_workers < 1:
            raise ConfigError(f"`num_workers` must be >= 1, got {self.num_workers}.")

    @property
    def is_ours(self) -> bool:
        """Whether its workers end with this run."""
        return self.cluster in ("local", *JOBS)


class _Scalable(Protocol):
    def scale(self, n: int) -> object:
        """Ask for that many workers."""

    def close(self) -> object:
        """End them."""


@dataclass(frozen=True)
class Clustered:
    """A cluster with a line to its scheduler.

    Attributes:
        client: The line.
        options: What it is.
        cluster: What starts its workers; None behind an address.
    """

    client: Client
    options: ClusterOptions
    cluster: _Scalable | None = None

    def refill(self, num_there: int) -> None:
        """Have workers started in place of those that were lost for good."""
        if self.cluster is not None and num_there < self.options.num_workers:
            self.cluster.scale(self.options.num_workers)


@contextmanager
def open_cluster(options: ClusterOptions, *, on_gpu: bool) -> Iterator[Clustered]:
    """Start workers, or find those that are there; what was started ends with the block, within seconds.

    Args:
        options: Which.
        on_gpu: Each needs a GPU.

    Raises:
        ConfigError: The address does not answer, or no job can be submitted; there are no certificates for ``tls``.
        BackendError: The line to the scheduler broke.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a lost worker is no news: its cases are taken again
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_settings(options)))
        _require_certificates(options)
        try:
            cluster = _started(options, on_gpu=on_gpu)
            if cluster is not None:
                stack.callback(_end, cluster)
                cluster.scale(options.num_workers)  # not before: an interrupt must find something to end
            where = options.cluster if cluster is None else cluster
            client = stack.enter_context(Client(where, timeout=ANSWER_S, set_as_default=False))
        except (OSError, RuntimeError, ValueError, TimeoutError) as error:
            raise ConfigError(_why_not(options)) from error
        try:
            yield Clustered(client, replace(options), cluster)
        except (OSError, TimeoutError) as error:
            if type(error).__module__.startswith("monai_semigan"):
                raise
            raise BackendError(
                "`cluster` must answer until the end, but its scheduler is gone. Run the command again: it goes on."
            ) from error


def worker_job(options: ClusterOptions, *, on_gpu: bool) -> str | None:
    """Write the job that one worker runs in; None where workers are no jobs. Nothing is started."""
    if options.cluster not in JOBS:
        return None
    kind = _job_class(options)  # first: with it come the defaults of the configuration
    settings = _job_settings(options, on_gpu=on_gpu)
    address = f"tcp://{settings.pop('scheduler_options')['host']}:PORT"
    job = kind.job_cls(address, name="NAME", config_name=options.cluster, **settings)
    return str(job.job_script())


def _job_class(options: ClusterOptions) -> Any:
    """Import what sends jobs; it takes Ctrl-C for itself when it is imported, which is undone."""
    before = signal.getsignal(signal.SIGINT)
    try:
        found = getattr(import_module("dask_jobqueue"), JOBS[options.cluster])
    except ImportError as error:
        raise ConfigError(
            "`cluster` must be local or an address where dask-jobqueue is not installed. For jobs: pip install "
            "'monai_semigan[cohort]'."
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)
    return found


def _end(cluster: _Scalable) -> None:
    with suppress(AssertionError, OSError, TimeoutError):  # of workers that were only being started
        cluster.close()


def _started(options: ClusterOptions, *, on_gpu: bool) -> Any:
    """Start a scheduler without workers yet; None behind an address."""
    if options.cluster in JOBS:
        kind = _job_class(options)  # first: with it come the defaults of the configuration
        return kind(n_workers=0, **_job_settings(options, on_gpu=on_gpu))
    if options.cluster != "local":
        return None
    return LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        host=options.host,
        scheduler_kwargs=_nowhere_else(options.host),
        memory_limit=0,  # a case is refused by its size; half of the memory each would end large ones
        resources={GPU: 1} if on_gpu else None,
        silence_logs=logging.CRITICAL,
    )


def _job_settings(options: ClusterOptions, *, on_gpu: bool) -> dict[str, Any]:
    """One worker of one thread in each job; all else as Dask's configuration says."""

    def configured(name: str) -> Any:
        return dask.config.get(f"jobqueue.{options.cluster}.{name}", None)

    settings: dict[str, Any] = {
        "cores": 1,
        "processes": 1,
        "memory": configured("memory") or MEMORY,
        "job_name": configured("name") if configured("name") != "dask-worker" else "semigan-cohort",
        "scheduler_options": {
            **(configured("scheduler-options") or {}),
            "host": options.host,
            **_nowhere_else(options.host),
        },
        "worker_extra_args": [*(configured("worker-extra-args") or []), "--no-dashboard"],
    }
    if on_gpu:
        settings["worker_extra_args"] += ["--resources", f"{GPU}=1"]
        if options.cluster == "slurm":
            settings["job_extra_directives"] = [*(configured("job-extra-directives") or []), "--gres=gpu:1"]
        elif configured("resource-spec") is None:
            settings["resource_spec"] = f"select=1:ncpus=1:mem={settings['memory']}:ngpus=1"
    return settings


def _nowhere_else(host: str) -> dict[str, Any]:
    """Keep a scheduler's page of numbers without a dashboard, and on the same address: else it is open to all."""
    return {"dashboard": False, "dashboard_address": f"{host}:0"}


def _settings(options: ClusterOptions) -> dict[str, str]:
    """Workers of this machine are forked from a process that has imported all they need: a lost one is back at once."""
    if options.cluster != "local" or "forkserver" not in multiprocessing.get_all_start_methods():
        return {}
    settings = {"distributed.worker.multiprocessing-method": "forkserver"}
    with dask.config.set(settings):
        context = get_mp_context()  # first, as it chooses modules too
    context.set_forkserver_preload(["distributed", "monai_semigan.cohort.dask_worker"])
    return settings


def _require_certificates(options: ClusterOptions) -> None:
    if options.cluster.startswith("tls:") and dask.config.get("distributed.comm.tls.client.cert", None) is None:
        raise ConfigError(
            "`cluster` must have certificates in Dask's configuration for a tls address, but there are none. Name its "
            "file in DASK_CONFIG."
        )


def _why_not(options: ClusterOptions) -> str:
    if options.cluster in JOBS:
        return (
            f"`cluster` must be one that jobs can be sent to, but {options.cluster} took none. Look at --dry-run, and "
            "at Dask's configuration of it."
        )
    if options.cluster == "local":
        return f"`host` must be an address of this machine that is free to listen on, got {options.host}."
    return (
        f"`cluster` must be a Dask scheduler that answers, but {options.cluster} does not within {ANSWER_S} s. Start "
        "one with `dask scheduler`, and workers with `dask worker`."
    )
