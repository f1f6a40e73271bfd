"""Navigation against its peers: the batched environment, ways of all pairs, figures.

On the real graphs where $GENERA_DATA has them, else on the embedded houses.

- environment: one batched environment against Gymnasium's SyncVectorEnv over the single one (target: 10 times), and
  against the floor of its step, the array gathers that any implementation must make;
- all pairs: shortest ways of every scan against networkx, distances and predecessors of all pairs;
- features: opening the converted store and gathering a batch against reading the raw TSV, in time and memory;
- figures: the eight figures of a split against the same definitions in plain Python over networkx's dictionaries.
"""

import base64
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import networkx
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from genera.measures.navigation import path_figures
from genera.navigation import connectivity
from genera.navigation.environments import NavigationEnv, NavigationVectorEnv
from genera.navigation.episodes import EpisodeTable
from genera.navigation.features import ArrayViews, open_features
from genera.navigation.graphs import HEADINGS, Graphs
from genera.navigation.simulator import slots
from genera.navigation.sources import open_navigation
from genera.navigation.walkers import random

STEPS, ROUNDS = 20, 7


def seconds(run: Callable[[], object]) -> float:
    before = time.perf_counter()
    run()
    return time.perf_counter() - before


def rounds(*runs: Callable[[], object]) -> list[list[float]]:
    """Seconds of each run, taken in turns."""
    for run in runs:
        run()
    return [[seconds(run) for run in runs] for _ in range(ROUNDS)]


def line(what: str, times: list[list[float]], per: int, unit: str) -> None:
    """One line: peer, ours and their ratio, each the median over the rounds."""
    peer, own = (statistics.median(column) / per for column in list(zip(*times, strict=True))[:2])
    ratio = statistics.median(peer / own for peer, own, *_ in times)
    print(f"{what:<46}{1e6 * peer:>13.1f}{1e6 * own:>13.1f}{ratio:>9.1f}   {unit}", flush=True)


def environments(table: EpisodeTable, actions: str, batch: int, views: ArrayViews | None) -> None:
    """The same random actions in both, which must then see the same. Episodes go on for the whole run."""
    settings = {"actions": actions, "horizon": 1 << 30, "views": views}
    ours = NavigationVectorEnv(table, batch, **settings)
    theirs = SyncVectorEnv([lambda: NavigationEnv(table, **settings)] * batch, autoreset_mode=AutoresetMode.DISABLED)
    random_actions = np.random.default_rng(0).integers(1, 6, (STEPS, batch))

    def run(env: NavigationVectorEnv | SyncVectorEnv) -> dict[str, np.ndarray]:
        env.reset(seed=0)
        for action in random_actions:
            seen = env.step(action)[0]
        return seen

    seen, expected = run(ours), run(theirs)
    assert all(np.array_equal(seen[name], expected[name]) for name in expected), "the two must see the same"
    name = f"{actions}, {batch} agents{', with views' if views else ''}"
    line(f"SyncVectorEnv → batched: {name}", rounds(lambda: run(theirs), lambda: run(ours)), STEPS, "µs a step")


def floor(table: EpisodeTable, batch: int) -> None:
    """The batched step against its gathers alone: next node and view, three rows of the next slots, one distance."""
    env, actions = slots(table.graphs), np.random.default_rng(0).integers(1, 5, batch)
    ours = NavigationVectorEnv(table, batch, horizon=1 << 30)
    ours.reset(seed=0)
    goal = table.goals[ours.episode, 0]

    def gathers() -> None:
        node, view = ours.node, ours.view
        for _ in range(STEPS):
            row = node * HEADINGS + view % HEADINGS
            node, view = env.node[row, actions].astype(np.int64), env.view[row, actions]
            row = node * HEADINGS + view % HEADINGS
            _ = env.node[row], env.view[row], env.valid[row], table.graphs.distance(node, goal)

    def steps() -> None:
        for _ in range(STEPS):
            ours.step(actions)

    times = [[own, bare] for own, bare in rounds(steps, gathers)]
    line(f"batched → its gathers alone: {batch} agents", times, STEPS, "µs a step")


def all_pairs(scans: list[connectivity.Scan]) -> None:
    """From checked scans to distances and ways of all pairs, candidate tables included on our side."""

    def networks() -> list[object]:
        return [dict(networkx.all_pairs_dijkstra(network(scan))) for scan in scans]

    ours = Graphs.build(scans)
    for scan, ways in zip(scans, networks(), strict=True):
        nodes = ours.nodes_of(scan.name)
        for a, (lengths, _) in ways.items():
            here, there = nodes[a], [nodes[b] for b in lengths]
            assert np.allclose(ours.distance(here, np.array(there)), list(lengths.values())), "the two must agree"
    times = [[seconds(networks), seconds(lambda: Graphs.build(scans))] for _ in range(3)]
    viewpoints = sum(int(scan.included.sum()) for scan in scans)
    line(f"networkx → arrays: all pairs, {len(scans)} scans", times, viewpoints, "µs a viewpoint")


def network(scan: connectivity.Scan) -> networkx.Graph:
    graph = networkx.Graph()
    graph.add_nodes_from(name for name, kept in zip(scan.viewpoints, scan.included, strict=True) if kept)
    for i, j in np.argwhere(np.triu(scan.unobstructed & scan.included & scan.included[:, None])):
        metres = float(np.linalg.norm(scan.positions[i] - scan.positions[j]))
        graph.add_edge(scan.viewpoints[i], scan.viewpoints[j], weight=metres)
    return graph


def features(graphs: Graphs, width: int = 256, most: int = 600) -> None:
    """A file of some hundred rows, read whole as the published code does, or through the store that was made of it."""
    count = int(np.searchsorted(graphs.first, most))
    alone = Graphs.build([scan_of(graphs, s) for s in range(min(count, len(graphs.scans)))])
    nodes = np.arange(len(alone))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.tsv"
        numbers = np.random.default_rng(0).standard_normal((len(nodes), 36, width)).astype("<f4")
        with open(path, "w") as file:
            for node, row in zip(nodes, numbers, strict=True):
                encoded = base64.b64encode(row.tobytes()).decode()
                file.write(f"{alone.scans[alone.scan_of[node]]}\t{alone.names[node]}\t640\t480\t60\t{encoded}\n")
        os.environ["GENERA_CACHE"] = folder
        print(f"{'the conversion, once':<46}{'':>13}{1e6 * seconds(lambda: open_features(path, alone)):>13.1f}")
        batch = np.random.default_rng(1).choice(nodes, 64)

        def raw() -> np.ndarray:
            found = {}
            with open(path) as file:
                for scan, name, *_, encoded in (line.split("\t") for line in file):
                    found[scan, name] = np.frombuffer(base64.b64decode(encoded), "<f4").reshape(36, -1)
            return np.stack([found[alone.scans[alone.scan_of[node]], alone.names[node]] for node in batch])

        def store() -> np.ndarray:
            return open_features(path, alone).gather(batch)

        assert np.allclose(raw(), store(), atol=1e-2), "the two must agree"
        line(f"TSV → store: first batch of 64, {len(nodes)} rows", rounds(raw, store), 1, "µs")
        peer, own = (peak(run) / 2**20 for run in (raw, store))
        print(f"{'  memory at the peak, MiB':<46}{peer:>13.1f}{own:>13.1f}{peer / own:>9.1f}")


def scan_of(graphs: Graphs, scan: int) -> connectivity.Scan:
    """One scan of a graph, as it was read."""
    nodes = np.arange(graphs.first[scan], graphs.first[scan + 1])
    names = graphs.names[nodes[0] : nodes[-1] + 1]
    adjacent = graphs.is_edge(nodes[:, None], nodes[None])
    return connectivity.Scan(graphs.scans[scan], names, graphs.positions[nodes], np.ones(len(nodes), bool), adjacent)


def peak(run: Callable[[], object]) -> int:
    tracemalloc.start()
    run()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def figures(table: EpisodeTable) -> None:
    """nDTW, the dearest of the figures, alone on the peer's side; all eight on ours."""
    paths = random(table)
    rows = [[int(n) for n in path if n >= 0] for path in paths]
    references = [[int(n) for n in path if n >= 0] for path in table.reference]
    metres = {
        (a, b): float(table.graphs.distance(a, b))
        for path, reference in zip(rows, references, strict=True)
        for a in path
        for b in reference
    }

    def plain() -> list[float]:
        found = []
        for path, reference in zip(rows, references, strict=True):
            dtw = {(-1, j): np.inf for j in range(-1, len(reference))} | {(i, -1): np.inf for i in range(len(path))}
            dtw[-1, -1] = 0.0
            for i, a in enumerate(path):
                for j, b in enumerate(reference):
                    dtw[i, j] = metres[a, b] + min(dtw[i - 1, j], dtw[i, j - 1], dtw[i - 1, j - 1])
            found.append(np.exp(-dtw[len(path) - 1, len(reference) - 1] / (3.0 * len(reference))))
        return found

    def ours() -> dict[str, np.ndarray]:
        return path_figures(table.graphs, paths, table.reference)

    assert np.allclose(plain(), ours()["nDTW"]), "the two must agree"
    line(f"Python nDTW → all figures: {len(rows)} episodes", rounds(plain, ours), len(rows), "µs an episode")


def main() -> None:
    real = Path(os.environ.get("GENERA_DATA", "")) / "r2r"
    source = open_navigation(f"r2r:{real}" if real.is_dir() else "world:houses")
    table = source.table("val_seen")
    print(f"{source.spec}: {len(table.graphs):,} viewpoints; one process, medians of {ROUNDS} rounds")
    print(f"{'':<46}{'peer':>13}{'ours':>13}{'ratio':>9}")
    for batch in (1, 16, 64, 256):
        environments(table, "panoramic", batch, None)
    environments(table, "low-level", 64, None)
    seen = np.random.default_rng(0).standard_normal((len(table.graphs), 36, 48)).astype(np.float16)
    environments(table, "panoramic", 64, ArrayViews(seen))
    for batch in (64, 1024):
        floor(table, batch)
    all_pairs(connectivity.read(Path(source.graphs_at)))
    features(table.graphs)
    figures(table)


if __name__ == "__main__":
    main()
