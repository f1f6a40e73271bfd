"""U-GAT-IT's networks (Kim et al. 2020): attended, adaptively normalised generator; discriminators with attention.

B rows, S × S images of 3 or 1 channels in [-1, 1].
"""

from torch import Tensor, nn
from torch.nn import functional as F

from genera.methods.u_gat_it.config import UGatItConfig
from genera.methods.u_gat_it.layers import LIN, AdaLIN, ClassActivation, ReflectConv2d, Release, SpectralReflectConv2d


class Encoded(nn.Sequential):
    """Convolution, instance normalisation and, unless `linear`, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, size: int, *, stride: int = 1, linear: bool = False, release: Release
    ) -> None:
        affine = release == "tensorflow"
        conv = ReflectConv2d(inputs, outputs, size, stride=stride, bias=affine, release=release)
        if conv.bias is not None:  # the normalisation takes it out again: part of the layout, nothing to learn
            conv.bias.requires_grad_(False)
        norm = nn.InstanceNorm2d(outputs, affine=affine)
        super().__init__(conv, norm, *([] if linear else [nn.ReLU()]))


class ResidualBlock(nn.Sequential):
    """x + conv IN ReLU conv IN"""

    def __init__(self, channels: int, release: Release) -> None:
        super().__init__(
            Encoded(channels, channels, 3, release=release),
            Encoded(channels, channels, 3, linear=True, release=release),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class AdaptiveBlock(nn.Module):
    """x + conv AdaLIN ReLU conv AdaLIN"""

    def __init__(self, channels: int, release: Release) -> None:
        super().__init__()
        bias = release == "tensorflow"
        self.convs = nn.ModuleList(ReflectConv2d(channels, channels, 3, bias=bias, release=release) for _ in range(2))
        self.norms = nn.ModuleList(AdaLIN(channels, release) for _ in range(2))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        h = F.relu(self.norms[0](self.convs[0](x), gamma, beta))
        return x + self.norms[1](self.convs[1](h), gamma, beta)


class Up(nn.Sequential):
    """Twice the side (nearest), convolution, LIN, ReLU."""

    def __init__(self, inputs: int, outputs: int, release: Release) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2),
            ReflectConv2d(inputs, outputs, 3, bias=release == "tensorflow", release=release),
            LIN(outputs, release),
            nn.ReLU(),
        )


class Generator(nn.Module):
    """Images of one domain → images of the other, the domain logits of what came in, and what was attended to."""

    def __init__(self, config: UGatItConfig, size: int, channels: int) -> None:
        super().__init__()
        width, release = config.width, config.release
        features = 4 * width
        self.light = config.light
        self.encoder = nn.Sequential(
            Encoded(channels, width, 7, release=release),
            Encoded(width, 2 * width, 3, stride=2, release=release),
            Encoded(2 * width, features, 3, stride=2, release=release),
            *(ResidualBlock(features, release) for _ in range(config.blocks)),
        )
        self.attention = ClassActivation(features, slope=0.0, spectral=False, release=release)
        inputs, bias = features if config.light else features * (size // 4) ** 2, release == "tensorflow"
        self.style = nn.Sequential(
            nn.Linear(inputs, features, bias), nn.ReLU(), nn.Linear(features, features, bias), nn.ReLU()
        )
        self.gamma, self.beta = (nn.Linear(features, features, bias) for _ in range(2))
        self.blocks = nn.ModuleList(AdaptiveBlock(features, release) for _ in range(config.blocks))
        self.decoder = nn.Sequential(
            Up(features, 2 * width, release),
            Up(2 * width, width, release),
            ReflectConv2d(width, channels, 7, bias=release == "tensorflow", release=release),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, S, S) → images (B, C, S, S), logits (B, 2), attention (B, S/4, S/4)"""
        x, attention, logits = self.attention(self.encoder(x))
        style = self.style(x.mean((2, 3)) if self.light else x.flatten(1))
        gamma, beta = self.gamma(style), self.beta(style)
        for block in self.blocks:
            x = block(x, gamma, beta)
        return self.decoder(x), logits, attention


class Discriminator(nn.Module):
    """Images → a map of logits and the attention's domain logits. `layers` halve the side; the last one keeps it."""

    def __init__(self, config: UGatItConfig, channels: int, halvings: int) -> None:
        super().__init__()
        release, widths = config.release, [channels, *(config.width * 2**i for i in range(halvings + 1))]
        self.layers = nn.ModuleList(
            nn.Sequential(
                SpectralReflectConv2d(widths[i], widths[i + 1], 4, stride=2 if i < halvings else 1, release=release),
                nn.LeakyReLU(0.2),
            )
            for i in range(halvings + 1)
        )
        self.attention = ClassActivation(widths[-1], slope=0.2, spectral=True, release=release)
        self.out = SpectralReflectConv2d(widths[-1], 1, 4, bias=release == "tensorflow", release=release)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, S, S) → logits (B, 1, H, W), domain logits (B, 2)"""
        for layer in self.layers:
            x = layer(x)
        x, _, logits = self.attention(x)
        return self.out(x), logits


def initialise(network: nn.Module) -> None:
    """Kernels N(0, 0.02), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def kernels(network: nn.Module) -> list[Tensor]:
    """What weight decay holds down: the weights of convolutions and linear layers."""
    return [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def clip_shares(network: nn.Module) -> None:
    """Bring every ρ back into [0, 1]."""
    for module in network.modules():
        if isinstance(module, AdaLIN | LIN):
            module.clip()
