"""Plans: a typed tree of what to run, and experts that wrap experts to run it."""
