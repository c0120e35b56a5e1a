"""What the server is made of besides its own code: the locked packages, their licences, and what is known against them."""
