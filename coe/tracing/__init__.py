"""Traces: requests in, spans by OpenTelemetry's GenAI conventions out to a collector, where one is configured.

Nothing outside asks for OpenTelemetry: `opening` alone imports it, and only then. What is traced is wrapped; where
nothing is, there is no wrapper.
"""
