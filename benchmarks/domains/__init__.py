"""Checkable task domains: prompts with a reference completion go out, an answer comes in and is right or wrong."""
