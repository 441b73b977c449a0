"""LoRA adapters before they are in an engine: whether they fit it, the room it needs for them, and how they get in."""
