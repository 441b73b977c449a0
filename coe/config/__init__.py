"""The configuration: one YAML file, environment overrides, and clear errors."""
