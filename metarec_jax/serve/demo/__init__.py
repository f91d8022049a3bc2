"""A learner on a page of your own machine: rate a few titles, and see what it recommends, how sure it is, and why."""
