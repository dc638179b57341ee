"""Find instances, and watch them change."""
