"""People see it: the gallery page and the places where it is published."""
