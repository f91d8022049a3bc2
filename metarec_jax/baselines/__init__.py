"""Classical competitors, one file a method; their grids and spaces are in `recipes/baselines.py`."""
