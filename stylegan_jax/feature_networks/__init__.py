"""Networks that metrics see images with: what they are, where their weights come from, what they compute."""
