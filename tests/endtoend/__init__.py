"""The whole, through real `trigger dev` processes, under whatever a hostile world and user can think of."""
