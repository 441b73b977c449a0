"""Logs and metrics. Core code calls these; nothing here can break a request."""
