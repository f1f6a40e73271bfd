"""Settings of the agents of the three tasks. The defaults are the published ones. No torch."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from genera.blocks.optimisers import choice_complaints
from genera.engine.config import MethodConfig
from genera.navigation.config import History

Task: TypeAlias = Literal["r2r", "ndh", "hanna"]


@dataclass(frozen=True, kw_only=True)
class AgentConfigBase(MethodConfig):
    """Settings of every agent."""

    reader: Literal["prevalent", "own"] = "prevalent"
    """What reads the instructions. prevalent: the image-text encoder. own: word embeddings of the agent itself."""
    modality: Literal["both", "language", "vision"] = "both"
    """What the agent perceives. both: views and instructions. language: image features are zero, angles remain. vision:
    instructions are empty."""
    batch_size: int = 20
    """Episodes a step, over all ranks."""
    optimiser: str = "adam"
    """Optimiser, with its default options: adam, adamw, sgd, rmsprop, …"""
    lr: float = 2e-5
    """Learning rate of the agent, constant."""
    weight_decay: float = 0.0
    """Weight decay, an L2 penalty."""
    hidden: int = 1024
    """Width of the agent's states."""
    dropout: float = 0.4
    """Probability to drop states and embeddings."""
    horizon: int = 35
    """Steps after which a rollout is cut off and scored where it is."""

    def check(self) -> list[str]:
        rules = [
            (self.batch_size >= 1, f"batch-size must be at least 1, got {self.batch_size}"),
            (self.lr > 0, f"lr must be above 0, got {self.lr}"),
            (self.weight_decay >= 0, f"weight-decay must be 0 or above, got {self.weight_decay}"),
            (self.hidden >= 1, f"hidden must be at least 1, got {self.hidden}"),
            (0 <= self.dropout < 1, f"dropout must lie in [0, 1), got {self.dropout}"),
            (self.horizon >= 1, f"horizon must be at least 1, got {self.horizon}"),
            *self.rules(),
        ]
        task = type(self).__name__.removesuffix("Config").lower()
        complaints = [f"--agent.{task}.{complaint}" for holds, complaint in rules if not holds]
        return complaints + choice_complaints(self.optimiser, f"--agent.{task}.optimiser")

    def rules(self) -> list[tuple[bool, str]]:
        """Whether each of the task's rules holds, and the complaint if it does not."""
        return []


@dataclass(frozen=True, kw_only=True)
class RecurrentAgentConfig(AgentConfigBase):
    """Settings of the recurrent agents (R2R and NDH)."""

    unfreeze: float = 0.0
    """Share of fine-tuning, at its end, in which the encoder's cross layers are trained too (prevalent reader)."""
    unfrozen_lr: float = 2e-6
    """Learning rate of agent and encoder in that share."""
    context: int = 2048
    """Width of the instruction states, both directions together; even."""
    embedding: int = 256
    """Width of the word embeddings (own reader)."""
    feature_dropout: float = 0.0
    """Dropout of image features; angle features are kept."""

    def rules(self) -> list[tuple[bool, str]]:
        return [
            (self.unfrozen_lr > 0, f"unfrozen-lr must be above 0, got {self.unfrozen_lr}"),
            (0 <= self.unfreeze < 1, f"unfreeze is a share of the fine-tuning below 1, got {self.unfreeze}"),
            (self.unfreeze == 0 or self.reader == "prevalent", "unfreeze needs the prevalent reader"),
            (self.embedding >= 1, f"embedding must be at least 1, got {self.embedding}"),
            (self.context >= 2 and self.context % 2 == 0, f"context must be even, got {self.context}"),
            (0 <= self.feature_dropout < 1, f"feature-dropout must lie in [0, 1), got {self.feature_dropout}"),
        ]


@dataclass(frozen=True, kw_only=True)
class R2RConfig(RecurrentAgentConfig):
    """Room-to-Room instructions (Tan et al. 2019; Hao et al. 2020): imitation and advantage actor-critic."""

    optimiser: str = "rmsprop"
    feature_dropout: float = 0.4
    """Dropout of image features; angle features are kept."""
    imitation: float = 0.2
    """Weight of the imitation loss (teacher forcing)."""
    reinforcement: float = 1.0
    """Weight of the actor-critic loss (sampled rollouts); 0: imitation only."""
    discount: float = 0.9
    """Discount factor of the rewards, per step."""
    entropy: float = 0.01
    """Weight of the entropy bonus."""
    back_translation: bool = False
    """Make half of each batch synthetic paths, which the speaker describes under environmental dropout."""
    imitation_synthetic: float = 0.6
    """Weight of the imitation loss of the synthetic half."""
    environment_dropout: float = 0.4
    """Environmental dropout of the synthetic half: probability to drop a feature from all views."""

    def rules(self) -> list[tuple[bool, str]]:
        weights = ("imitation", "imitation_synthetic", "reinforcement", "entropy")
        return [
            *super().rules(),
            *(
                (getattr(self, weight) >= 0, f"{weight.replace('_', '-')} must not be negative, got {value}")
                for weight in weights
                for value in [getattr(self, weight)]
            ),
            (0 <= self.discount <= 1, f"discount must lie in [0, 1], got {self.discount}"),
            (
                0 <= self.environment_dropout < 1,
                f"environment-dropout must lie in [0, 1), got {self.environment_dropout}",
            ),
            (
                not self.back_translation or self.modality == "both",
                "back-translation needs views and instructions; leave modality as it is",
            ),
            (
                not self.back_translation or self.batch_size % 2 == 0,
                f"batch-size must be even with back-translation, got {self.batch_size}",
            ),
        ]


@dataclass(frozen=True, kw_only=True)
class NDHConfig(RecurrentAgentConfig):
    """Navigation from dialogue history (Thomason et al. 2019; Hao et al. 2020): imitation with scheduled sampling."""

    optimiser: str = "adamax"
    lr: float = 5e-5
    """Learning rate of the agent, constant."""
    horizon: int = 40
    """Steps after which a rollout is cut off (published: 20 with the planner's supervision)."""
    history: History = "all"
    """Part of the dialogue that the agent reads: none, target, oracle_ans (last answer), nav_q_oracle_ans (last
    question and answer), all."""
    sampled: float = 0.2
    """Scheduled sampling: share of the training steps with a sampled action instead of the teacher's."""
    weight_decay: float = 5e-4
    """Weight decay, an L2 penalty."""

    def rules(self) -> list[tuple[bool, str]]:
        return [
            *super().rules(),
            (0 <= self.sampled <= 1, f"sampled must lie in [0, 1], got {self.sampled}"),
        ]


@dataclass(frozen=True, kw_only=True)
class HannaConfig(AgentConfigBase):
    """Navigation with help on request (Nguyen & Daumé 2019): imitation of a navigation and a help-request teacher."""

    batch_size: int = 32
    """Episodes a step, over all ranks."""
    lr: float = 1e-4
    """Learning rate of the agent, constant."""
    hidden: int = 256
    """Width of the agent's states; a multiple of `heads`."""
    dropout: float = 0.3
    """Probability to drop states and embeddings."""
    heads: int = 8
    """Attention heads."""
    horizon: int = 20
    """Steps of a rollout in training."""
    evaluation_horizon: int = 50
    """Steps after which a rollout is cut off in evaluation."""
    repeat_penalty: float = 1.0
    """Weight of the log-probability of mistakes that are repeated at the same viewpoint under the same instruction."""
    uncertain: float = 0.25
    """Entropy of a wrong action, as a share of log 37, from which the teacher requests help."""
    weight_decay: float = 5e-4
    """Weight decay, an L2 penalty."""

    def rules(self) -> list[tuple[bool, str]]:
        return [
            (
                self.heads >= 1 and self.hidden % self.heads == 0,
                f"hidden {self.hidden} must be a multiple of heads {self.heads}",
            ),
            (
                self.evaluation_horizon >= 1,
                f"evaluation-horizon must be at least 1, got {self.evaluation_horizon}",
            ),
            (self.repeat_penalty >= 0, f"repeat-penalty must not be negative, got {self.repeat_penalty}"),
            (self.uncertain >= 0, f"uncertain must not be negative, got {self.uncertain}"),
        ]


@dataclass(frozen=True, kw_only=True)
class AgentConfig(MethodConfig):
    """Settings of each task's agent; only those of --task are used."""

    r2r: R2RConfig = field(default_factory=R2RConfig)
    ndh: NDHConfig = field(default_factory=NDHConfig)
    hanna: HannaConfig = field(default_factory=HannaConfig)

    def of(self, task: Task) -> R2RConfig | NDHConfig | HannaConfig:
        return getattr(self, task)

    def check(self) -> list[str]:
        return [complaint for task in (self.r2r, self.ndh, self.hanna) for complaint in task.check()]
