"""What scanners of all venues share; everything is inline in the declarations."""
