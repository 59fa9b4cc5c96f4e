"""`fedchain model`: finished models, a party's own part of them, and which is in use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    AsJson,
    DeploymentFile,
    JobIdArgument,
    NodeFolder,
    Rpc,
    opened,
)
from fedchain.cli.output import console, print_json, print_pairs, print_rows, short
from fedchain.types import JobId

if TYPE_CHECKING:
    from fedchain.model.shard import Shard
    from fedchain.model.shardview import FeatureUse, Node, ShardView
    from fedchain.node.control_client import ControlClient

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The model's: 1 to 64 of a-z, 0-9, '_', '-'.", show_default=False)
]
Version = Annotated[
    int, typer.Argument(metavar="VERSION", min=1, max=2**32 - 1, help="Its number.", show_default=False)
]

app = typer.Typer(name="model", no_args_is_help=True)

_BAR_WIDTH = 24


@app.callback()
def group() -> None:
    """Look at finished models, and put them into use.

    A version of a model is what a completed job has trained. Any of its parties proposes it under a name, each approves
    it, the last approval freezes it for ever; its active party puts it into use, or the version before again.

    Example: fedchain model show shards/operator.shard.json

    Example: fedchain model propose arrears 0x5c…e1 --node nodes/operator
    """


@app.command()
def propose(name: Name, job: JobIdArgument, node: NodeFolder = Path("."), as_json: AsJson = False) -> None:
    """Propose a completed job's model as the next version of NAME, and approve it, through the running node in DIR.

    The name, and a digest of each party's shard, become public. Run again, it changes nothing.

    Example: fedchain model propose arrears 0x5c…e1 --node nodes/operator
    """
    with _node(node) as client:
        done = client.propose_model(name, JobId(job.lower()))
    _say(done, _of_approvals(done), as_json)


@app.command()
def approve(name: Name, version: Version, node: NodeFolder = Path("."), as_json: AsJson = False) -> None:
    """Approve a version on behalf of the running node in DIR; the last approval freezes it. Approvals cannot be undone.

    The node first compares its own shard file with the digest that it approves. Run again, it changes nothing.

    Example: fedchain model approve arrears 2 --node nodes/partner
    """
    with _node(node) as client:
        done = client.approve_model(name, version)
    _say(done, _of_approvals(done), as_json)


@app.command()
def activate(name: Name, version: Version, node: NodeFolder = Path("."), as_json: AsJson = False) -> None:
    """Put a version that all approved into use, through the running node in DIR, which must be its active party's.

    The version in use so far is retired; it can be put into use again. Run again, it changes nothing.

    Example: fedchain model activate arrears 2 --node nodes/operator
    """
    with _node(node) as client:
        done = client.activate_model(name, version)
    _say(done, "is in use", as_json)


@app.command()
def rollback(name: Name, node: NodeFolder = Path("."), as_json: AsJson = False) -> None:
    """Put the version into use again that was in use before, through the running node in DIR, its active party's.

    Run again, it goes back one version further.

    Example: fedchain model rollback arrears --node nodes/operator
    """
    with _node(node) as client:
        done = client.roll_back_model(name)
    _say(done, "is in use again", as_json)


@app.command("list")
def show_all(rpc: Rpc = DEFAULT_RPC, deployment: DeploymentFile = DEFAULT_DEPLOYMENT, as_json: AsJson = False) -> None:
    """Show the consortium's models, and which version of each is in use, from the chain alone.

    Example: fedchain model list --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    from fedchain.node.modelstate import read_models

    with opened(rpc, deployment) as consortium:
        found = read_models(consortium)
    if as_json:
        print_json({"models": [one.as_dict() for one in found]})
        return
    print_rows(
        f"{len(found)} models",
        ("name", "active party", "versions", "in use", "job"),
        [(one.name, one.holder or "-", one.versions, one.in_use or "-", short(one.job_id)) for one in found],
    )


@app.command()
def show(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME|SHARD|JOB",
            help="A model's name; or a shard file; or, with --node, the id of a job.",
            show_default=False,
        ),
    ],
    node: Annotated[
        Path | None,
        typer.Option("--node", metavar="DIR", help="Folder of the node that keeps the shard; it need not run."),
    ] = None,
    tree: Annotated[
        int | None,
        typer.Option("--tree", min=1, metavar="N", help="Print tree N, counted from 1, with own thresholds."),
    ] = None,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show a model's versions from the chain; or a party's own shard: features in use, trees with its own thresholds.

    NAME shows who approved which version, and which is in use. No name has a dot or a slash: what has one is a file. A
    shard holds its own party's splits, in the table's units. Leaf weights and the rows at each node are in the active
    party's alone.

    Example: fedchain model show arrears --deployment deployment.json

    Example: fedchain model show shards/operator.shard.json --tree 1
    """
    from fedchain.model.shardview import ShardView
    from fedchain.node.modelstate import is_model_name

    if node is None and tree is None and is_model_name(target) and not Path(target).is_file():
        _show_versions(target, rpc, deployment, as_json)
        return
    view = ShardView(load_shard(target, node))
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


def _show_versions(name: str, rpc: str, deployment: Path, as_json: bool) -> None:
    from fedchain.node.modelstate import read_versions

    with opened(rpc, deployment) as consortium:
        found = [one.as_dict() for one in read_versions(consortium, name)]
    if as_json:
        print_json({"name": name, "versions": found})
        return
    print_rows(
        f"model {name}",
        ("version", "state", "job", "model digest", "proposed by", "approved by", "missing"),
        [
            (
                one["version"],
                one["state"],
                short(one["job_id"]),
                short(one["model_digest"]),
                one["proposer"],
                ", ".join(party["name"] for party in one["parties"] if party["approved"]) or "-",
                ", ".join(_missing(one)) or "-",
            )
            for one in found
        ],
    )


def _node(folder: Path) -> ControlClient:
    from fedchain.node.config import load_config
    from fedchain.node.control_client import ControlClient

    return ControlClient(load_config(folder / "node.toml").control_socket)


def _say(version: dict[str, Any], what: str, as_json: bool) -> None:
    if as_json:
        print_json(version)
    else:
        print(f"version {version['version']} of model {version['name']} (job {version['job_id']}) {what}")


def _of_approvals(version: dict[str, Any]) -> str:
    missing = _missing(version)
    if missing:
        return f"is proposed; it lacks the approval of {', '.join(missing)}"
    return f"is {version['state']}: all of its parties approved"


def _missing(version: dict[str, Any]) -> list[str]:
    return [party["name"] for party in version["parties"] if not party["approved"]]


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
