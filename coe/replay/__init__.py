"""Plans on recorded answers: what asking, voting and cascades would have scored, without a model."""
