"""Training a model on data: the loop, its checkpoints, its history and the metrics."""
