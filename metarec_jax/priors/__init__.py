"""What learners start from: fits to a training table, in closed form or by expectation maximisation."""
