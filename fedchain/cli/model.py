"""`fedchain model`: a party looks at its own part of a finished model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.options import AsJson
from fedchain.cli.output import console, print_json, print_pairs
from fedchain.types import JobId

if TYPE_CHECKING:
    from fedchain.model.shard import Shard
    from fedchain.model.shardview import FeatureUse, Node, ShardView

app = typer.Typer(name="model", no_args_is_help=True)

_BAR_WIDTH = 24


@app.callback()
def group() -> None:
    """Look at finished models.

    Example: fedchain model show shards/operator.shard.json
    """


@app.command()
def show(
    shard: Annotated[
        str,
        typer.Argument(metavar="SHARD|JOB", help="A shard file; with --node, the id of a job.", show_default=False),
    ],
    node: Annotated[
        Path | None,
        typer.Option("--node", metavar="DIR", help="Folder of the node that keeps the shard; it need not run."),
    ] = None,
    tree: Annotated[
        int | None,
        typer.Option("--tree", min=1, metavar="N", help="Print tree N, counted from 1, with own thresholds."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a party's own shard: its features' use, and trees with its own thresholds in the table's units.

    A shard holds its own party's splits. Leaf weights and the rows at each node are in the active party's alone.

    Example: fedchain model show shards/operator.shard.json --tree 1
    """
    from fedchain.model.shardview import ShardView

    view = ShardView(load_shard(shard, node))
    if tree is not None:
        view.tree(tree)  # before anything is printed
    if as_json:
        print_json(view.as_dict() | ({} if tree is None else {"tree": view.tree_as_dict(tree)}))
        return
    _print_summary(view)
    if view.uses():
        _print_features(view)
    if tree is not None:
        _print_tree(view, tree)


def load_shard(shard: str, node: Path | None) -> Shard:
    """The shard that the command line names.

    Raises:
        ConfigError: not a job id, or (UnknownJobError) a job that the node has not finished.
        ModelFormatError: the file is missing or damaged.
    """
    from fedchain.model.shard import Shard

    if node is None:
        return Shard.load(Path(shard))
    from fedchain.node.config import load_config
    from fedchain.node.jobfiles import finished_shard

    return finished_shard(load_config(node / "node.toml").state.folder, JobId(shard.lower()))


def _print_summary(view: ShardView) -> None:
    shard = view.shard
    splits = view.splits_by_party()
    taken = sum(bool(tree.splits) for tree in shard.trees)
    pairs: list[tuple[str, object]] = [
        ("party", f"{shard.party} ({'active' if view.is_active else 'passive'})"),
        ("roster", ", ".join(shard.roster)),
        ("mode", shard.mode),
        ("objective", shard.objective if view.outputs == 1 else f"{shard.objective}, {view.outputs} classes"),
        ("trees", f"{len(shard.trees)}, {taken} with a split of this party"),
        ("splits", ", ".join(f"{name} {'?' if count is None else count}" for name, count in splits.items())),
        ("features", f"{len(view.uses())} used of {len(view.features)}"),
    ]
    if view.is_active:
        pairs.append(("base margins", ", ".join(f"{margin:.6g}" for margin in shard.base_margins)))
    pairs.append(("shard digest", shard.digest().hex()))
    print_pairs("model shard", pairs)


def _print_features(view: ShardView) -> None:
    from rich.bar import Bar
    from rich.markup import escape
    from rich.table import Table

    uses = view.uses()
    title = (
        "importance: training rows at the feature's nodes, as a share of those at all nodes"
        if view.is_active
        else "splits per feature"
    )
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("feature", "splits", *(("importance",) if view.is_active else ()), ""):
        table.add_column(column, overflow="fold", justify="right" if column in ("splits", "importance") else "left")
    longest = max(_length(use) for use in uses)
    for use in uses:
        bar = Bar(longest, 0, _length(use), width=_BAR_WIDTH)
        figures = () if use.importance is None else (f"{use.importance:.1%}",)
        table.add_row(escape(use.name), str(use.splits), *figures, bar)
    console(stderr=False).print()
    console(stderr=False).print(table)


def _length(use: FeatureUse) -> float:
    return float(use.splits if use.importance is None else use.importance)


def _print_tree(view: ShardView, number: int) -> None:
    from rich.text import Text
    from rich.tree import Tree as Branches

    nodes = {node.number: node for node in view.nodes(number)}
    output = f", class {view.tree(number).output}" if view.outputs > 1 else ""
    branches: dict[int, Branches] = {}
    for node_id in sorted(nodes):
        side = ""
        if node_id:
            words = ("yes: ", "no: ") if nodes[(node_id - 1) // 2].split is not None else ("left: ", "right: ")
            side = words[node_id % 2 == 0]
        label = Text(side + _words(view, nodes[node_id]))
        above = branches.get((node_id - 1) // 2) if node_id else None
        branches[node_id] = above.add(label) if above is not None else Branches(label)
    console(stderr=False).print(Text(f"\ntree {number}{output}", style="italic"))
    console(stderr=False).print(branches[0])


def _words(view: ShardView, node: Node) -> str:
    rows = "" if node.rows is None else f"  [{node.rows} rows]"
    if node.split is not None:
        return f"{view.rule(node.split)}?{rows}"
    if node.owner is not None:
        return f"split of {node.owner}{rows}"
    if node.weight is not None:
        return f"leaf {node.weight:+.6g}{rows}"
    if view.shard.shares_shapes:
        return "leaf"
    return "this party has no part in this tree" if node.number == 0 else "goes on at the active party, or is a leaf"
