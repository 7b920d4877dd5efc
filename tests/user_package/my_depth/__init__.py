"""What a user of densecast might write: depth from one image, with a network, a metric and data of its own."""
