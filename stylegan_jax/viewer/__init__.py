"""The viewer in the browser: a server that draws, and the page that it serves. The command is `stylegan_jax.view`."""
