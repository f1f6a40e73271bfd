"""Methods with several stages and artefacts."""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genera.engine.method import Method, Stage
from genera.engine.player import Player
from genera.engine.ranks import Ranks
from genera.files import write_tensors
from small_methods.ring import LINEAR, Points, Ring, RingAssets, RingConfig, SmallConfig, mlp


class SmallTwoStage(Method):
    """An autoencoder, then a Gaussian fitted by gradient to the latents it left; plain SGD on the way."""

    dataset = Ring

    def __init__(self, config: SmallConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.autoencoder = nn.ModuleDict({"encoder": mlp(2, 1), "decoder": mlp(1, 2)})
        self.prior = self.new_prior()
        self.latents: Tensor | None = None

    def new_prior(self) -> nn.ParameterDict:
        return nn.ParameterDict({"mean": torch.zeros(1), "log_sd": torch.zeros(1)})

    def stages(self) -> list[Stage]:
        return [
            Stage("autoencoder", self.first_players, self.first_update, 0.5, self.write_latents, self.read_latents),
            Stage("prior", self.second_players, self.second_update, 0.5),
        ]

    def first_players(self) -> dict[str, Player]:
        optimiser = torch.optim.AdamW(self.autoencoder.parameters(), lr=self.config.lr)  # not fused: host-side guard
        return {"autoencoder": Player(self.autoencoder, optimiser, LINEAR)}

    def first_update(self, batch, step) -> None:
        step.minimise("autoencoder", self.reconstruction, batch)

    def reconstruction(self, batch, step):
        z = self.autoencoder["encoder"](batch.x) + 0.1 * step.normal(len(batch), 1)
        return {"loss": (self.autoencoder["decoder"](z) - batch.x).square().mean()}

    def write_latents(self, data: Ring, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            save_file({"z": self.autoencoder["encoder"](data.splits["train"])}, folder / "latents.safetensors")

    def read_latents(self, folder: Path) -> None:
        self.latents = load_file(folder / "latents.safetensors")["z"]

    def second_players(self) -> dict[str, Player]:
        optimiser = torch.optim.SGD(self.prior.parameters(), lr=self.config.lr, momentum=0.9)
        return {"prior": Player(self.prior, optimiser, LINEAR)}

    def second_update(self, batch, step) -> None:
        step.minimise("prior", self.prior_loss, batch)

    def prior_loss(self, batch, step):
        z = self.latents[batch.ids]
        log_sd = self.prior["log_sd"]
        return {"loss": (log_sd + 0.5 * ((z - self.prior["mean"]) / log_sd.exp()).square()).mean()}

    def validate(self, batch, step):
        return {"loss": (self.autoencoder["decoder"](self.autoencoder["encoder"](batch.x)) - batch.x).square().mean()}


class SmallPipeline(SmallTwoStage):
    """An autoencoder; then points of a smaller ring, written shard by shard by whichever rank's turn it is; then the
    autoencoder again on those, with a batch and a validation of their own."""

    SHARDS = 4

    def new_prior(self) -> nn.ParameterDict:
        return nn.ParameterDict()

    def stages(self) -> list[Stage]:
        return [
            Stage("autoencoder", self.first_players, self.first_update),
            Stage("synthesis", work=self.synthesise),
            Stage(
                "again",
                self.first_players,
                self.first_update,
                data=self.smaller_ring,
                batch_size=8,
                validate=self.validate_again,
                sketch=lambda rows: Points(ids=torch.arange(rows), x=torch.ones(rows, 2)),
            ),
        ]

    def synthesise(self, data: Ring, folder: Path, ranks: Ranks) -> Iterator[None]:
        folder.mkdir(parents=True, exist_ok=True)
        for shard, points in enumerate(data.splits["train"].chunk(self.SHARDS)):
            if shard % ranks.world == ranks.rank and not (folder / f"{shard}.safetensors").exists():
                write_tensors(folder / f"{shard}.safetensors", {"x": points / 2})
                yield

    def smaller_ring(self, data: Ring, artefacts: Path) -> Ring:
        shards = [load_file(artefacts / "synthesis" / f"{shard}.safetensors")["x"] for shard in range(self.SHARDS)]
        smaller = Ring(RingConfig(), data.assets)
        smaller.splits = {"train": torch.cat(shards), "valid": shards[0]}
        return smaller

    def validate_again(self, batch, step):
        return {"loss": batch.x.norm(dim=1).mean()}  # of the data alone
