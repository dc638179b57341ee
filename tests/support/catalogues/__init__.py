"""Catalogues of products, and the storage that tests of agent sync inject."""
