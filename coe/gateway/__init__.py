"""The gateway: OpenAI-compatible HTTP in front of the router and the plan executor. Stateless, many replicas."""
