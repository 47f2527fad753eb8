"""Where a run keeps its checkpoints, for those who do without Orbax, which takes a second to import."""

FOLDER = 'checkpoints'  # each is in a folder below, under the number of images shown
SET_ASIDE = 'damaged-checkpoints'
