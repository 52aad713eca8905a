"""The metrics over HTTP. Served by the `metrics` thread."""

import errno
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from edge.config import MetricsConfig
from models.errors import ConfigError, MekikiError


class Endpoint:
    """`/metrics` over HTTP, from construction to `close`."""

    def __init__(self, config: MetricsConfig, registry: CollectorRegistry) -> None:
        """Raises MekikiError when the port is taken or the address not there, else ConfigError."""
        where = f"metrics port {config.port} on {config.host}"
        self._server: WSGIServer
        try:
            self._server, self.thread = start_http_server(config.port, config.host, registry)
        except (OSError, UnicodeError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                raise MekikiError(
                    f"{where}: already in use; stop what holds it (another mekiki-edge?) or set [metrics] port"
                ) from error
            if getattr(error, "errno", None) == errno.EADDRNOTAVAIL:  # at boot the network may still be on its way
                raise MekikiError(
                    f"{where}: no address of this box, or not yet; see its network or [metrics] host"
                ) from error
            raise ConfigError(f"{where}: {error}; correct [metrics] host and port") from error
        self.thread.name = "metrics"

    def close(self) -> None:
        """Stops serving and frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self.thread.join(timeout=2)
