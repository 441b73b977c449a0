"""Programs run to their end, of which nothing is left behind."""
