"""Classical methods to compare with; their settings and grids are in `recipes/baselines.py`.

One file a method, except the trivial ones in `means.py` and the few-shot classifiers in `few_shot.py`.
"""
