"""The live shell of the protocol: sockets, HTTP, clock, and the process around them."""
