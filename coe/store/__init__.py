"""Redis: the shared picture of the workers and the response cache. Losing it costs caches, never an answer."""
