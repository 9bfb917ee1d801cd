"""Environment variables of tasks: kept encrypted, given back plain, and only with the same key."""

import base64
import re
import stat
from pathlib import Path

import pytest

from tests.engine.kit import EngineKit
from triggerdev import errors
from triggerdev.engine.commands import variables as commands
from triggerdev.engine.vault import VARIABLE, Vault, key_source, parse_key

VALUE = "hush äöü 'quotes' \n second line"


async def shown(kit: EngineKit) -> dict[str, str]:
    return {variable.name: variable.value for variable in await kit.engine.variables.all()}


async def test_a_variable_is_given_back_as_it_was_set(kit: EngineKit) -> None:
    variables = kit.engine.variables
    assert await variables.put({"B": VALUE, "A": ""}) == 2
    await variables.put({"SECRET": "x"}, is_secret=True)
    assert await shown(kit) == {"A": "", "B": VALUE, "SECRET": "x"}
    assert [each.name for each in await variables.all()] == ["A", "B", "SECRET"]
    assert (await variables.get("SECRET")).is_secret
    await variables.update("SECRET", "y")
    found = await variables.get("SECRET")
    assert (found.value, found.is_secret, found.updated_at) == ("y", True, kit.clock.now())
    await variables.delete("A")
    assert await shown(kit) == {"B": VALUE, "SECRET": "y"}
    for call in (variables.get("A"), variables.delete("A"), variables.update("A", "1")):
        with pytest.raises(errors.NoSuchVariableError, match="'A' not found"):
            await call


async def test_what_exists_stays_unless_it_is_overridden(kit: EngineKit) -> None:
    variables = kit.engine.variables
    await variables.put({"A": "1"})
    assert await variables.put({"A": "2", "B": "2"}, override=False) == 1
    assert await shown(kit) == {"A": "1", "B": "2"}
    assert await variables.put({"A": "3"}, override=True) == 1
    assert await shown(kit) == {"A": "3", "B": "2"}


async def test_they_outlive_the_engine_and_whoever_listens_hears_of_changes(kit: EngineKit) -> None:
    heard: list[str] = []
    kit.engine.variables.listen(lambda: heard.append("changed"))
    await kit.engine.variables.put({"A": VALUE})
    await kit.engine.variables.update("A", "1")
    await kit.engine.variables.delete("A")
    assert len(heard) == 3
    await kit.engine.variables.put({"A": VALUE})
    await kit.restart()
    assert await shown(kit) == {"A": VALUE}


async def test_no_value_is_readable_in_the_database_or_in_a_description(kit: EngineKit) -> None:
    await kit.engine.variables.put({"A": "hush-hush", "B": "hush-hush"})
    rows = kit.query("SELECT value FROM variables")
    assert "hush" not in str(rows)
    assert len(set(rows)) == 2, "the same value looks different each time"
    assert b"hush-hush" not in base64.b64decode(rows[0][0].removeprefix("1:"))
    assert "hush" not in repr(await kit.engine.variables.all())


async def test_another_key_opens_nothing_and_says_which_and_what_to_do(kit: EngineKit) -> None:
    await kit.engine.variables.put({"A": "1"})
    kit.vault_key = b"x" * 32
    await kit.restart()
    with pytest.raises(errors.EnvironmentProblemError, match=f"variable A cannot be decrypted.*{VARIABLE}"):
        await kit.engine.variables.all()
    await kit.engine.variables.delete("A")
    assert await shown(kit) == {}


def test_a_value_belongs_to_its_name() -> None:
    vault = Vault(lambda: b"k" * 32)
    sealed = vault.seal("A", "1")
    assert vault.open("A", sealed) == "1"
    with pytest.raises(errors.EnvironmentProblemError):
        vault.open("B", sealed)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("", "1", "name: '' is no variable's name"),
        ("1A", "1", "name: '1A' is no variable's name"),
        ("A-B", "1", "name: 'A-B' is no"),
        ("A=B", "1", "name: 'A=B' is no"),
        ("Ä", "1", "name: 'Ä' is no"),
        ("A" * 257, "1", "is no variable's name"),
        ("TRIGGER_SECRET_KEY", "1", "name: TRIGGER_SECRET_KEY is set by the server itself"),
        ("A", "hush\0", "value: A has characters that no variable can have"),
        ("A", "hush\ud800", "value: A has characters"),
        ("A", "hush" * 20_000, "value: A has 80,000 characters; at most 65,536"),
    ],
)
async def test_what_no_process_can_have_is_refused_without_its_value(
    kit: EngineKit, name: str, value: str, text: str
) -> None:
    with pytest.raises(errors.InvalidOptionError, match=re.escape(text)) as caught:
        await kit.engine.variables.put({"FINE": "1", name: value})
    assert "hush" not in str(caught.value)
    assert await shown(kit) == {}, "all, or none"


async def test_there_is_a_most(kit: EngineKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MOST", 2)
    await kit.engine.variables.put({"A": "1", "B": "1"})
    await kit.engine.variables.put({"A": "2"})
    with pytest.raises(errors.InvalidOptionError, match="variables: an environment can have 2 at most"):
        await kit.engine.variables.put({"C": "1"})


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "variables.key"
    first = key_source(file, {})()
    assert len(first) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key_source(file, {})() == first
    assert key_source(file, {VARIABLE: "ab" * 32})() == bytes.fromhex("ab" * 32)


HIGH = b"\xfb" * 32  # with + and / in base64, - and _ in the other one


@pytest.mark.parametrize(
    "text", ["ab" * 32, base64.b64encode(HIGH).decode(), base64.urlsafe_b64encode(HIGH).decode()]
)
def test_a_key_can_be_hex_or_base64(text: str) -> None:
    assert len(parse_key(text, VARIABLE)) == 32


@pytest.mark.parametrize("text", ["", "short", "z" * 64, "ab" * 31])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(errors.EnvironmentProblemError, match=f"{VARIABLE} holds no key") as caught:
        parse_key(text, VARIABLE)
    assert not text or text not in str(caught.value)


def test_a_key_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.EnvironmentProblemError, match="cannot be kept in"):
        key_source(tmp_path / "none" / "variables.key", {})()
