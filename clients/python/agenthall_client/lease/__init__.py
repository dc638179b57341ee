"""Register an instance and keep its lease alive."""
