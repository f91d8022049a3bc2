"""Building blocks without a model: linear algebra of one task, similarities, convolutions, batching, files."""
