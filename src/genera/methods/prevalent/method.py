"""Prevalent: the networks of a run and its stages. Each stage is defined in the module that trains it."""

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
from genera.methods.prevalent.agents.finetuning import Agent
from genera.methods.prevalent.agents.hanna import HannaAgent
from genera.methods.prevalent.agents.hanna_network import HannaNetwork
from genera.methods.prevalent.agents.ndh import NDHAgent
from genera.methods.prevalent.agents.network import NDHNetwork, R2RNetwork
from genera.methods.prevalent.agents.r2r import R2RAgent
from genera.methods.prevalent.config import PrevalentConfig, StageName
from genera.methods.prevalent.encoder.network import ActionHead, NavigationEncoder, Pretrainer, WordHead
from genera.methods.prevalent.encoder.pretraining import pretrain_stage
from genera.methods.prevalent.exchange import read_released
from genera.methods.prevalent.speaker.inference import GREEDY, describe_paths, log_likelihood
from genera.methods.prevalent.speaker.network import Speaker
from genera.methods.prevalent.speaker.shards import SyntheticSet
from genera.methods.prevalent.speaker.synthesis import synthesis_stage
from genera.methods.prevalent.speaker.training import build_speaker, load_word_vectors, speaker_stage
from genera.navigation.dataset import InstructedPaths, NavigationAssets, NavigationData
from genera.navigation.episodes import EpisodeTable


class Prevalent(Method):
    """Hao et al., "Towards Learning a Generic Agent for Vision-and-Language Navigation via Pre-training", CVPR 2020.

    A run has only the networks that its stages need. `--init RUN` copies those that both runs have.
    """

    dataset = NavigationData

    def __init__(self, config: PrevalentConfig, assets: NavigationAssets) -> None:
        super().__init__(config, assets)
        self.config: PrevalentConfig = config
        self.assets: NavigationAssets = assets
        size = config.encoder.sized(assets.tokeniser.size)
        pretrains = "pretrain" in config.stages
        self.speaker = build_speaker(config.speaker, assets) if config.speaks else None
        self.encoder = (
            NavigationEncoder(size, config.encoder.cross_layers, assets.feature_size) if config.encodes else None
        )
        self.word_head = WordHead(size) if pretrains and config.pretrain.mlm_weight else None
        self.action_head = ActionHead(size) if pretrains and config.pretrain.ap_weight else None
        self.agent = self._build_agent() if "finetune" in config.stages else None
        self._pretraining_figures: dict[str, PretrainingFigures] = {}
        if self.speaker and "speaker" not in config.stages:
            self.speaker.requires_grad_(False)
        if self.encoder and not pretrains:
            self.encoder.freeze(but_cross_layers=getattr(config.agent.of(config.task), "unfreeze", 0.0) > 0)

    def _build_agent(self) -> Agent:
        """The agent of the task. Its network is named after the task: --init never copies that of another task."""
        assets, config, width = self.assets, self.config.agent.of(self.config.task), self.config.encoder.hidden
        embeds = config.reader == "own"  # word embeddings of its own instead of the encoder's states
        encoder, vocabulary = (None, assets.tokeniser.size) if embeds else (self.encoder, None)
        if isinstance(config, HannaConfig):
            self.hanna_agent = HannaNetwork(config, width, vocabulary, assets.feature_size, assets.slots)
            return HannaAgent(self.hanna_agent, encoder, config, assets)
        inputs = config.embedding if embeds else width
        if isinstance(config, NDHConfig):
            self.ndh_agent = NDHNetwork(config, inputs, vocabulary, assets.feature_size, assets.angle_size)
            return NDHAgent(self.ndh_agent, encoder, config, assets)
        self.r2r_agent = R2RNetwork(config, inputs, vocabulary, assets.feature_size, assets.angle_size)
        return R2RAgent(self.r2r_agent, encoder, config, assets, self.speaker if config.back_translation else None)

    def initialise(self) -> None:
        self.complete([name for name, _ in self.named_children()])

    def complete(self, new: Sequence[str]) -> None:
        """Read the files of `--speaker.word-vectors` and `--encoder.pretrained`.

        Raises GeneraError for a file that does not fit, for stages that need a trained speaker where there is none, and
        for an encoder that comes both from a file and from --init.
        """
        config = self.config
        if self.speaker and "speaker" in new:
            if "speaker" not in config.stages:
                raise GeneraError(
                    "these stages need a trained speaker; add speaker to --stages, or give --init RUN of a run with "
                    "one."
                )
            if config.speaker.word_vectors:
                load_word_vectors(self.speaker, config.speaker.word_vectors, self.assets.words)
        if self.encoder and config.encoder.pretrained:
            if "encoder" not in new:
                raise GeneraError("--init has brought an encoder; leave --encoder.pretrained out, or --init.")
            read_released(self._pretrainer(), config.encoder.pretrained)

    def _pretrainer(self) -> Pretrainer:
        assert self.encoder
        return Pretrainer(self.encoder, self.word_head, self.action_head)

    # -- training -----------------------------------------------------------------------------------------------------

    def stages(self) -> list[Stage]:
        return [stage for name in self.config.stages for stage in self._stages(name)]

    def _stages(self, name: StageName) -> list[Stage]:
        """The engine's stages of one part of the run; fine-tuning may have two."""
        config = self.config
        if name == "speaker" and self.speaker:
            return [speaker_stage(self.speaker, config.speaker, self.assets, config.share(name))]
        if name == "synthesis" and self.speaker:
            return [synthesis_stage(self.speaker, config.synthesis)]
        if name == "pretrain":
            stage = pretrain_stage(
                self._pretrainer(),
                config.pretrain,
                self.assets,
                max_tokens=min(SKETCHED_TOKENS, config.encoder.positions),
                synthetic_paths=self._synthetic_paths,
                keep_figures=self._pretraining_figures.update,
                share=config.share(name),
            )
            return [stage]
        return self.agent.stages(config.share(name)) if self.agent else []

    def _synthetic_paths(self, data: NavigationData, artefacts: Path) -> InstructedPaths | None:
        config = self.config.pretrain
        if not config.synthetic:
            return None
        folder = Path(config.source).expanduser() if config.source else artefacts / "synthesis"
        return SyntheticSet.open(folder).paths(data.graphs)

    # -- capabilities -------------------------------------------------------------------------------------------------

    def navigate(self, table: EpisodeTable, data: NavigationData) -> Walk:
        """Greedy rollouts of every episode. Raises Lacks for a run without an agent."""
        if self.agent is None:
            raise self._lacks("agent; train one with --init RUN --stages finetune")
        return self.agent.navigate(table, data)

    def likeliest_routes(self, table: EpisodeTable, data: NavigationData, count: int) -> Candidates:
        """Routes that end at different nodes, by state-factored search. Raises Lacks for a run without an R2R agent."""
        if not isinstance(self.agent, R2RAgent):
            raise self._lacks("agent of R2R, which search needs")
        return self.agent.likeliest_routes(table, data, count)

    def describe(
        self,
        nodes: NDArray[np.int64],
        headings: NDArray[np.float64],
        *,
        data: NavigationData,
        generator: Generator | None = None,
        **options: Any,
    ) -> list[str]:
        """An instruction for each path of nodes (B, T; -1 after the last) that starts with a heading (B,), radians.

        options: of `Decoding`; greedy by default. Raises Lacks for a run without a speaker.
        """
        how = decoding(options, max_tokens=GREEDY.max_tokens)
        return describe_paths(self._trained_speaker(), data, nodes, headings, how, generator)

    def log_likelihood(
        self, nodes: NDArray[np.int64], headings: NDArray[np.float64], texts: Sequence[str], *, data: NavigationData
    ) -> NDArray[np.float64]:
        """(B,) log p(instruction | path) of the speaker, in nats. Raises Lacks for a run without a speaker."""
        return log_likelihood(self._trained_speaker(), data, nodes, headings, texts, self.config.speaker.max_words)

    def pretraining_figures(self) -> dict[str, PretrainingFigures]:
        """Held-out figures by split. Raises Lacks for a run whose pre-training has not finished."""
        if not self._pretraining_figures:
            raise self._lacks("finished pre-training")
        return self._pretraining_figures

    def _trained_speaker(self) -> Speaker:
        if self.speaker is None:
            raise self._lacks("speaker; use a run whose --stages have one")
        return self.speaker

    def _lacks(self, what: str) -> Lacks:
        return Lacks(f"this run of {', '.join(self.config.stages)} has no {what}.")
