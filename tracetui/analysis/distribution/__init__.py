"""How the elements of one tensor are distributed, counted block by block so that memory stays bounded."""
