"""Choosing among experts: candidates are measured on a few examples of a task, and a set of them is chosen."""
