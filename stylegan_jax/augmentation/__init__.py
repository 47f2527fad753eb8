"""Augmentation of what the discriminator sees, real and generated images alike, so that few images train it longer."""
