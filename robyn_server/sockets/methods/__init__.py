"""The methods that a message can call, and the table that names them."""
