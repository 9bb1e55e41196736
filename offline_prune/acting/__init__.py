"""The policy that acts: which networks it is made of, and what can leave them."""
