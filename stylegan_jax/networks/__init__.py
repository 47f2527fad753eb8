"""The networks: Linen modules with one `params` collection, over plain functions on arrays."""
