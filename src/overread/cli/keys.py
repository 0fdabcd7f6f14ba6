"""`overread keys`: who may ask a server that others can reach."""

from __future__ import annotations

from typing import Annotated

import typer

from overread.cli.cases import DatabaseOption, opened
from overread.cli.output import JsonFlag, complain, console, print_json

keys = typer.Typer(help="API keys of a server, in the database of its case log.")
Name = Annotated[str, typer.Argument(help="Whom the key is for.")]


@keys.command()
def add(name: Name, database: DatabaseOption = None, json: JsonFlag = False) -> None:
    """Make a key and show it, this once. From then on the server asks everybody for one.

    Only its hash is stored. A server that runs takes it up within seconds.
    """
    from overread.serve.case_log.keys import Keys

    with opened(database, create=True) as log:
        key = Keys(log.database).add(name)
    if json:
        print_json({"name": name.strip(), "key": key})
        return
    complain("this key is shown only now; the server keeps its hash alone")
    console.print(key, markup=False)


@keys.command("list")
def list_(database: DatabaseOption = None, json: JsonFlag = False) -> None:
    """Show for whom there are keys, and since when; the keys themselves are not stored."""
    from overread.serve.case_log.keys import Keys

    with opened(database) as log:
        found = Keys(log.database).list()
    if json:
        print_json({"keys": [key.to_dict() for key in found]})
        return
    for key in found:
        state = f"revoked {key.revoked}" if key.revoked else "valid"
        console.print(f"{key.name}  made {key.created}  {state}", markup=False)
    if not found:
        console.print("There is no key: the server answers this computer alone.")


@keys.command()
def revoke(name: Name, database: DatabaseOption = None, json: JsonFlag = False) -> None:
    """End the key of NAME. A server that runs refuses it within seconds."""
    from overread.serve.case_log.keys import Keys

    with opened(database) as log:
        Keys(log.database).revoke(name)
    if json:
        print_json({"name": name.strip(), "revoked": True})
    else:
        console.print(f"The key of {name.strip()} is no longer valid.", markup=False)
