"""A variational autoencoder of images, as a plug-in of genera. No torch: lists and help import this."""

from genera.engine.registry import Entry

from my_vae.presets import PRESETS

ENTRY = Entry(
    name="my-vae",
    summary="variational autoencoder of images",
    paper="Kingma & Welling 2014",
    family="variational",
    implementation="my_vae.method:MyVae",
    presets=PRESETS,
)
