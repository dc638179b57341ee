"""Values of agent sync that the storage shares."""
