"""Prevalent: which networks a run has, and its stages. What each stage does stands in the module of its name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Generator

from genera.blocks.decoding_options import decoding
from genera.engine.capabilities import Candidates, PretrainingFigures, Walk
from genera.engine.method import Method, Stage
from genera.errors import GeneraError, Lacks
from genera.methods.prevalent.agents.config import HannaConfig, NDHConfig
from genera.methods.prevalent.agents.episodes import SKETCHED_TOKENS
from genera.methods.prevalent.agents.finetuning import Walking
from genera.methods.prevalent.agents.hanna import Helped
from genera.methods.prevalent.agents.hanna_network import Asker
from genera.methods.prevalent.agents.ndh import Dialogues
from genera.methods.prevalent.agents.network import DialogueFollower, Follower
from genera.methods.prevalent.agents.r2r import Following
from genera.methods.prevalent.config import PrevalentConfig
from genera.methods.prevalent.encoder.network import ActionHead, NavigationEncoder, Pretrainer, WordHead
from genera.methods.prevalent.encoder.pretraining import pretrain_stage
from genera.methods.prevalent.exchange import read_released
from genera.methods.prevalent.speaker.network import Speaker
from genera.methods.prevalent.speaker.synthesis import SyntheticSet, synthesis_stage
from genera.methods.prevalent.speaker.training import (
    GREEDY,
    build_speaker,
    describe_paths,
    give_word_vectors,
    log_likelihood,
    speaker_stage,
)
from genera.navigation.dataset import InstructedPaths, NavigationAssets, NavigationData
from genera.navigation.episodes import EpisodeTable


class Prevalent(Method):
    """Hao et al., "Towards Learning a Generic Agent for Vision-and-Language Navigation via Pre-training", CVPR 2020.

    A run has the networks that its stages use: `--init RUN` takes over those that both runs have.
    """

    dataset = NavigationData

    def __init__(self, config: PrevalentConfig, assets: NavigationAssets) -> None:
        super().__init__(config, assets)
        self.config: PrevalentConfig = config
        self.assets: NavigationAssets = assets
        size = config.encoder.sized(assets.tokeniser.size)
        pretrains = "pretrain" in config.stages
        self._pretraining: dict[str, PretrainingFigures] = {}
        self.speaker = build_speaker(config.speaker, assets) if config.speaks else None
        self.encoder = (
            NavigationEncoder(size, config.encoder.cross_layers, assets.feature_size) if config.encodes else None
        )
        self.word_head = WordHead(size) if pretrains and config.pretrain.mlm_weight else None
        self.action_head = ActionHead(size) if pretrains and config.pretrain.ap_weight else None
        self.walking = self._build_agent() if "finetune" in config.stages else None
        if self.speaker and "speaker" not in config.stages:
            self.speaker.requires_grad_(False)
        if self.encoder and not pretrains:
            self.encoder.freeze(but_cross_layers=getattr(config.agent.of(config.task), "unfreeze", 0.0) > 0)

    def _build_agent(self) -> Walking:
        """The agent of the task. Its network has the task's name, so that --init takes over none of another task."""
        assets, config, width = self.assets, self.config.agent.of(self.config.task), self.config.encoder.hidden
        own = config.reader == "own"
        encoder, vocabulary = (None, assets.tokeniser.size) if own else (self.encoder, None)
        if isinstance(config, HannaConfig):
            self.hanna_agent = Asker(config, width, vocabulary, assets.feature_size, assets.slots)
            return Helped(self.hanna_agent, encoder, config, assets)
        inputs = config.embedding if own else width
        if isinstance(config, NDHConfig):
            self.ndh_agent = DialogueFollower(config, inputs, vocabulary, assets.feature_size, assets.angle_size)
            return Dialogues(self.ndh_agent, encoder, config, assets)
        self.r2r_agent = Follower(config, inputs, vocabulary, assets.feature_size, assets.angle_size)
        return Following(self.r2r_agent, encoder, config, assets, self.speaker if config.back_translation else None)

    def initialise(self) -> None:
        self.complete([name for name, _ in self.named_children()])

    def complete(self, new: Sequence[str]) -> None:
        """What `--speaker.word-vectors` and `--encoder.pretrained` name. Raises GeneraError where a file does not fit,
        where the stages need a speaker that nothing has trained, and where --init has brought another encoder."""
        config = self.config
        if self.speaker and "speaker" in new:
            if "speaker" not in config.stages:
                raise GeneraError(
                    "these stages need a trained speaker; add speaker to --stages, or give --init RUN of a run with "
                    "one."
                )
            if config.speaker.word_vectors:
                give_word_vectors(self.speaker, config.speaker.word_vectors, self.assets.words)
        if self.encoder and config.encoder.pretrained:
            if "encoder" not in new:
                raise GeneraError("--init has brought an encoder; leave --encoder.pretrained out, or --init.")
            read_released(self._pretrainer(), config.encoder.pretrained)

    def _pretrainer(self) -> Pretrainer:
        assert self.encoder
        return Pretrainer(self.encoder, self.word_head, self.action_head)

    # training

    def stages(self) -> list[Stage]:
        config, assets, stages = self.config, self.assets, []
        for name in config.stages:
            if name == "speaker" and self.speaker:
                stages.append(speaker_stage(self.speaker, config.speaker, assets, config.share(name)))
            elif name == "synthesis" and self.speaker:
                stages.append(synthesis_stage(self.speaker, config.synthesis))
            elif name == "pretrain":
                stages.append(
                    pretrain_stage(
                        self._pretrainer(),
                        config.pretrain,
                        assets,
                        longest=min(SKETCHED_TOKENS, config.encoder.positions),
                        synthetic=self._synthetic,
                        keep_figures=self._pretraining.update,
                        share=config.share(name),
                    )
                )
            elif self.walking:
                stages += self.walking.stages(config.share(name))
        return stages

    def _synthetic(self, data: NavigationData, artefacts: Path) -> InstructedPaths | None:
        config = self.config.pretrain
        if not config.synthetic:
            return None
        folder = Path(config.source).expanduser() if config.source else artefacts / "synthesis"
        return SyntheticSet.open(folder).paths(data.graphs)

    # what the trained model can do

    def pretraining_figures(self) -> dict[str, PretrainingFigures]:
        """Held-out figures by split. Raises Lacks where the run has not finished a pre-training."""
        if not self._pretraining:
            raise Lacks(f"this run of {', '.join(self.config.stages)} has no finished pre-training.")
        return self._pretraining

    def navigate(self, table: EpisodeTable, data: NavigationData) -> Walk:
        """Greedy walks of every episode. Raises Lacks where the run has no agent."""
        if self.walking is None:
            raise Lacks(
                f"this run of {', '.join(self.config.stages)} has no agent; train one: --init RUN --stages finetune."
            )
        return self.walking.navigate(table, data)

    def likeliest_routes(self, table: EpisodeTable, data: NavigationData, count: int) -> Candidates:
        """Routes that end at different nodes. Raises Lacks where the run has no agent that follows instructions."""
        if not isinstance(self.walking, Following):
            raise Lacks(f"this run of {', '.join(self.config.stages)} has no agent of R2R, the only one that searches.")
        return self.walking.likeliest_routes(table, data, count)

    def describe(
        self,
        nodes: NDArray[np.int64],
        headings: NDArray[np.float64],
        *,
        data: NavigationData,
        generator: Generator | None = None,
        **options: Any,
    ) -> list[str]:
        """An instruction for each path of nodes (B, T; -1 after the last) that begins with a heading (B,), radians.

        options: of `Decoding`, greedy unless told. Raises Lacks where the run has no speaker.
        """
        how = decoding(options, max_tokens=GREEDY.max_tokens)
        return describe_paths(self._speaker(), data, nodes, headings, how, generator)

    def log_likelihood(
        self, nodes: NDArray[np.int64], headings: NDArray[np.float64], texts: Sequence[str], *, data: NavigationData
    ) -> NDArray[np.float64]:
        """Of instructions for paths (B, T), by the speaker. Raises Lacks where the run has none."""
        return log_likelihood(self._speaker(), data, nodes, headings, texts, self.config.speaker.max_words)

    def _speaker(self) -> Speaker:
        if self.speaker is None:
            raise Lacks(
                f"this run of {', '.join(self.config.stages)} has no speaker; use a run whose --stages have one."
            )
        return self.speaker
