"""`fedchain node token`: who may log in to a node's HTTP API."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from fedchain.cli.options import AsJson
from fedchain.cli.output import note, print_json, print_rows

app = typer.Typer(name="token", no_args_is_help=True)

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder, with its node.toml.")]


class Role(str, Enum):
    """As `fedchain.node.tokens.ApiRole`; once more, for options are known before anything heavy is loaded."""

    ADMIN = "admin"
    DATA_OWNER = "data-owner"
    ANALYST = "analyst"
    VIEWER = "viewer"


@app.callback()
def group() -> None:
    """Tokens with which people and systems log in to a node's HTTP API. The node may run.

    Example: fedchain node token create nodes/operator --role viewer
    """


@app.command()
def create(
    role: Annotated[
        Role,
        typer.Option(
            "--role",
            help="admin looks after the node, data-owner after its table, analyst runs jobs, viewer reads.",
            show_default=False,
        ),
    ],
    folder: _Folder = Path("."),
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="Whose it is, or what for.")] = "",
    days: Annotated[float, typer.Option("--days", metavar="DAYS", help="Until it expires, up to 3650.")] = 90.0,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, once: the node keeps a hash of it only.

    Example: fedchain node token create nodes/operator --role analyst --name "Ana" --days 30
    """
    from fedchain.node.tokens import ApiRole, moment_text

    file, port = _opened(folder)
    token, text = file.create(ApiRole(role.value), name, days=days)
    if as_json:
        print_json({"token": text} | _entry(token))
        return
    note(f"token {token.id} for the role {token.role.value}, until {moment_text(token.expires)}; it is not shown again")
    if port is None:
        note(f"the node serves no API yet: set [api] port in {folder / 'node.toml'}, and start it anew")
    print(text)


@app.command("list")
def list_tokens(folder: _Folder = Path("."), as_json: AsJson = False) -> None:
    """Show the tokens that there are; not the tokens themselves, which nobody knows.

    Example: fedchain node token list nodes/operator
    """
    from fedchain.node.tokens import moment_text

    tokens = _opened(folder)[0].all()
    if as_json:
        print_json({"tokens": [_entry(token) for token in tokens]})
        return
    print_rows(
        f"tokens of the node in {folder}",
        ("id", "role", "name", "created", "expires", ""),
        [
            (
                token.id,
                token.role.value,
                token.name or "-",
                moment_text(token.created),
                moment_text(token.expires),
                "" if token.is_valid() else "expired",
            )
            for token in tokens
        ],
    )


@app.command()
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="The token's id, as `list` shows it.", show_default=False)
    ],
    folder: _Folder = Path("."),
    as_json: AsJson = False,
) -> None:
    """Revoke a token: it opens nothing from the next request on, also where the node runs.

    Example: fedchain node token revoke 5f0c4e9a21bb nodes/operator
    """
    token = _opened(folder)[0].revoke(token_id)
    if as_json:
        print_json(_entry(token))
    else:
        print(f"token {token.id} ({token.role.value}{', ' + token.name if token.name else ''}) is revoked")


def _opened(folder: Path) -> tuple[Any, int | None]:
    """The node's tokens, and the port of its API."""
    from fedchain.node.config import load_config
    from fedchain.node.tokens import TokenFile

    config = load_config(folder / "node.toml")
    return TokenFile(config.state.folder), config.api.port


def _entry(token: Any) -> dict[str, Any]:
    from fedchain.node.tokens import moment_text

    return {
        "token_id": token.id,
        "name": token.name,
        "role": token.role.value,
        "created": moment_text(token.created),
        "expires": moment_text(token.expires),
        "expired": not token.is_valid(),
    }
