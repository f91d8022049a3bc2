"""metarec_jax: meta-learned cold-start recommendation as pure functions in JAX."""
