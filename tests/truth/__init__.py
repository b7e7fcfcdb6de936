"""Whether the comparison of a port with its model names the mistake that the port has."""
