"""Settings of Prevalent, in sections. The defaults are the published ones. No torch."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from genera.engine.config import MethodConfig
from genera.methods.prevalent.agents.config import AgentConfig, Task
from genera.methods.prevalent.encoder.config import EncoderConfig, PretrainConfig
from genera.methods.prevalent.speaker.config import SpeakerConfig, SynthesisConfig
from genera.navigation.config import NavigationConfig

StageName: TypeAlias = Literal["speaker", "synthesis", "pretrain", "finetune"]
STAGES: tuple[StageName, ...] = get_args(StageName)
_TRAINED = ("speaker", "pretrain", "finetune")


@dataclass(frozen=True, kw_only=True)
class PrevalentConfig(MethodConfig):
    """Hao et al. 2020: a speaker, synthesised instructions, an encoder pre-trained on them, the agent of one task."""

    stages: tuple[StageName, ...] = STAGES
    """Stages of the run, in this order: speaker, synthesis, pretrain, finetune. --init RUN provides the networks that a
    stage needs and no earlier stage trains."""
    shares: tuple[float, float, float] = (0.4, 0.1, 0.5)
    """Shares of the budget for speaker, pretrain and finetune; only those in --stages count."""
    task: Task = "r2r"
    """Task of the fine-tuning: r2r (instructions), ndh (dialogues) or hanna (object finding with help on request)."""
    speaker: SpeakerConfig = field(default_factory=SpeakerConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)

    def share(self, stage: StageName) -> float:
        return self.shares[_TRAINED.index(stage)]

    @property
    def speaks(self) -> bool:
        """Whether the run has a speaker."""
        back = self.task == "r2r" and "finetune" in self.stages and self.agent.r2r.back_translation
        return bool({"speaker", "synthesis"} & set(self.stages)) or back

    @property
    def encodes(self) -> bool:
        """Whether the run has an image-text encoder."""
        reads = "finetune" in self.stages and self.agent.of(self.task).reader == "prevalent"
        return "pretrain" in self.stages or reads

    def check(self) -> list[str]:
        stages, listed = self.stages, ", ".join(STAGES)
        instructed = [stage for stage in stages if stage != "finetune"]
        makes_synthetic = "synthesis" in stages or self.pretrain.source is not None
        rules = [
            (
                bool(stages) and list(stages) == [stage for stage in STAGES if stage in stages],
                f"--stages must be some of {listed}, each once and in this order, got {', '.join(stages) or 'none'}",
            ),
            (
                len(self.shares) == len(_TRAINED) and all(share > 0 for share in self.shares),
                f"--shares must be three numbers above 0 ({', '.join(_TRAINED)}), got {self.shares}",
            ),
            (
                self.task == "r2r" or not instructed,
                f"{', '.join(instructed)} learn from R2R's instructed paths, not from those of {self.task}; "
                "train them with --task r2r, then give --init RUN --stages finetune",
            ),
            (
                "pretrain" not in stages or not self.pretrain.synthetic or makes_synthetic,
                "--pretrain.synthetic needs a synthesised set: add synthesis to --stages, give --pretrain.source "
                "RUN/artefacts/synthesis, or --pretrain.synthetic 0",
            ),
            (
                not ("synthesis" in stages and self.pretrain.source is not None),
                "--pretrain.source is for a set synthesised before; leave it or the stage synthesis out",
            ),
        ]
        wrong = [complaint for holds, complaint in rules if not holds]
        return wrong + [c for part in (self.speaker, self.synthesis, self.pretrain, self.agent) for c in part.check()]

    def check_data(self, data: NavigationConfig) -> list[str]:
        wrong = []
        if data.max_tokens > self.encoder.positions:
            wrong.append(
                f"--max-tokens {data.max_tokens} exceeds the {self.encoder.positions} positions of the encoder"
            )
        if (theirs := task_of(data.data)) != self.task:
            wrong.append(f"--data {data.data} has episodes of {theirs}, and --task is {self.task}")
        return wrong


def task_of(spec: str) -> str:
    """The task whose episodes a source has: "r2r:DIR", "world:houses-ndh", …"""
    scheme, _, rest = spec.partition(":")
    return (rest.partition("-")[2] or "r2r") if scheme == "world" else scheme
