"""The parts of integration/shop/rehearse: a cluster, the shop, its visitors, and what became of it all."""
