"""The product's catalogue database: the contract it is read through, its queries, and how to install the change
feed."""
