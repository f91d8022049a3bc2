"""What the experiment scripts share: work directories, the learners by flag name, running and writing up methods."""
