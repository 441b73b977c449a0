"""Experts that ask several experts: they merge, choose among or compare answers, and have an expert's own shape."""
