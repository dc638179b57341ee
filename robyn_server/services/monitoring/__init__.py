"""What operators see of the server: numbers, their history, and checks."""
