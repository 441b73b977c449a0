"""Which experts start on which workers: a `Problem` goes into `planner.plan`, a `Plan` comes out."""
