"""Placement problems out of files: a problem file, or a service's configuration with what it does not tell."""
