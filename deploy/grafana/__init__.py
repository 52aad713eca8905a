"""Grafana's dashboards: described in `boards.toml`, written to dashboards/ by `make dashboards`."""
