"""Commands of an operator, who works with the database itself."""
