"""Events, their tickets, and who bought them."""
