"""One suite for each seam, over the fake or embedded thing and the real one."""
