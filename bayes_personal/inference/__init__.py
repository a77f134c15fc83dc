"""Ways to a posterior: one file a method."""
