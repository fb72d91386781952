"""``asl-gateway serve`` and ``check-config``: both forms of starting, signals, and every refusal with its exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvloop

from gateway.app.certificates import faults_of
from gateway.app.gateway import Gateway
from gateway.app.guarding import guard_faults
from gateway.app.listeners import Addresses
from gateway.app.logs import configure
from gateway.app.serving import ListenError
from gateway.app.state_dir import StateDirError
from gateway.cli.exits import Exit, document, fail, line, say
from gateway.cli.options import (
    AdminTlsCertOption,
    AdminTlsKeyOption,
    JsonOption,
    ProbesListenOption,
    ScreenersOption,
    TlsCertOption,
    TlsClientCaOption,
    TlsKeyOption,
)
from gateway.controls.catalogue import controls
from gateway.controls.rules import RuleError, validate
from gateway.descriptors import raise_limit
from gateway.lag import ENVIRONMENT, LagLoop, lag_file
from gateway.ledger.base import LedgerError
from gateway.ledger.files import LedgerTampered
from gateway.policy.changes import ChangeRefused
from gateway.policy.levels import CLASSIFIED, LevelInvalid
from gateway.settings.faults import ConfigInvalid
from gateway.settings.load import check, load
from gateway.settings.model import Settings
from gateway.state.base import StoreError
from gateway.terms import Rule

COLLECT_AFTER = (
    20_000  # objects made and not freed: about fifty exchanges in flight; Python's own 700 come with every second one
)
Started = Callable[[Addresses], None]
log = structlog.get_logger("asl_gateway")


def serve(
    config: Annotated[Path | None, typer.Option("--config", help="Configuration file.")] = None,
    upstream: Annotated[str | None, typer.Option("--upstream", help="URL of the model server, without /v1.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Canonical name of the served model.")] = None,
    alias: Annotated[
        list[str] | None, typer.Option("--alias", help="Another exact name for it; may be repeated.")
    ] = None,
    asl: Annotated[int | None, typer.Option("--asl", min=1, max=5, help="Declared AI Safety Level.")] = None,
    listen: Annotated[str | None, typer.Option("--listen", help="Data plane, host:port.")] = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    tls_client_ca: TlsClientCaOption = None,
    admin_listen: Annotated[str | None, typer.Option("--admin-listen", help="Admin plane, host:port.")] = None,
    admin_tls_cert: AdminTlsCertOption = None,
    admin_tls_key: AdminTlsKeyOption = None,
    probes_listen: ProbesListenOption = None,
    state: Annotated[Path | None, typer.Option("--state", envvar="ASL_GATEWAY_STATE", help="State directory.")] = None,
    rules: Annotated[Path | None, typer.Option("--rules", help="Directory of rule files.")] = None,
    no_classifiers: Annotated[
        bool, typer.Option("--no-classifiers", help="Rules and wire handling only: mechanics and benchmarks.")
    ] = False,
    screeners: ScreenersOption = None,
) -> None:
    """Stand in front of a model server.

    Examples:

      asl-gateway serve --upstream http://127.0.0.1:8000 --model my-model --asl 3

      asl-gateway serve --config gateway.yaml
    """
    _one_form(config, upstream, model, alias, asl)
    flags = _flags(
        {
            ("listen", "address"): listen,
            ("listen", "tls", "cert"): tls_cert,
            ("listen", "tls", "key"): tls_key,
            ("listen", "tls", "client_ca"): tls_client_ca,
            ("admin", "address"): admin_listen,
            ("admin", "tls", "cert"): admin_tls_cert,
            ("admin", "tls", "key"): admin_tls_key,
            ("probes", "address"): probes_listen,
            ("state",): state,
            ("rules",): rules,
            ("classifiers",): False if no_classifiers else None,
            ("screeners",): int(screeners) if screeners and screeners.isdecimal() else screeners,
        }
    )
    if config is None:
        flags["models"] = [{"name": model, "aliases": alias or [], "asl": asl, "upstream": {"url": upstream}}]
    configure()
    settings = settings_or_exit(config, flags)
    if not settings.classifiers:
        say(
            "WARNING: --no-classifiers: prompts and answers are judged by rules alone. For mechanics and benchmarks, not for serving."
        )
    run(settings, _announce, reload=lambda: load(config, os.environ, flags))


def _one_form(
    config: Path | None, upstream: str | None, model: str | None, alias: list[str] | None, asl: int | None
) -> None:
    """Exit 2 unless the arguments are those of one form: with a file, or without."""
    if config is None and (upstream is None or model is None or asl is None):
        fail(
            Exit.USAGE,
            "give --config FILE, or --upstream URL, --model NAME and --asl N",
            do="see `asl-gateway serve --help`",
        )
    if config is not None and (upstream or model or alias or asl):
        fail(Exit.USAGE, "--upstream, --model, --alias and --asl belong to the form without --config")


def _flags(given: Mapping[tuple[str, ...], str | Path | bool | int | None]) -> dict[str, Any]:
    """What was given, in the shape of the file; paths on the command line are relative to the working directory."""
    flags: dict[str, Any] = {}
    for loc, value in given.items():
        if value is not None:
            node = flags
            for part in loc[:-1]:
                node = node.setdefault(part, {})
            node[loc[-1]] = str(value.absolute()) if isinstance(value, Path) else value
    return flags


def settings_or_exit(config: Path | None, flags: dict[str, Any]) -> Settings:
    """The settings, or exit 3 with every fault."""
    try:
        return load(config, os.environ, flags)
    except ConfigInvalid as error:
        fail(Exit.CONFIG_INVALID, "the configuration is invalid:\n" + str(error))


def _announce(addresses: Addresses) -> None:
    probes = {"probes": addresses.probes} if addresses.probes else {}
    document({"event": "listening", "data": addresses.data, "admin": addresses.admin, **probes, "pid": os.getpid()})
    typer.get_text_stream("stdout").flush()


def run(settings: Settings, started: Started, *, reload: Callable[[], Settings]) -> None:
    """Run a gateway until a signal; every reason not to start has its exit code."""
    raise_limit()
    try:
        _loop(_live(settings, started, reload))
    except ConfigInvalid as error:
        fail(Exit.CONFIG_INVALID, "the configuration is invalid:\n" + str(error))
    except (LevelInvalid, ChangeRefused, RuleError) as error:
        fail(Exit.CONFIG_INVALID, str(error))
    except LedgerTampered as error:
        fail(
            Exit.VERIFICATION_FAILED,
            str(error),
            do="the ledger on disk is not the one that was written; keep it, and run `asl-gateway ledger verify`",
        )
    except (StoreError, LedgerError, ListenError, StateDirError) as error:
        fail(Exit.FAILURE, str(error))


def _loop(living: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop; where the loop's steps are to be measured, on a loop that does so, with its report at the end."""
    file = lag_file(os.environ)
    if file is None:
        uvloop.run(living)
        return
    measured = LagLoop()
    say(f"WARNING: {ENVIRONMENT} is set: every step of the event loop is measured, which is slower.")
    try:
        with asyncio.Runner(loop_factory=lambda: measured) as runner:
            runner.run(living)
    finally:
        file.write_text(measured.lag.report())


async def _live(settings: Settings, started: Started, reload: Callable[[], Settings]) -> None:
    gateway = Gateway(settings, os.environ)
    stopping, reloading = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, reloading.set)
    addresses = await gateway.start()
    _settle_collector()
    if isinstance(loop, LagLoop):
        await asyncio.sleep(0)
        loop.lag.clear()  # nobody was served while it started
    started(addresses)
    follower = asyncio.create_task(_follow(gateway, reloading, reload))
    await stopping.wait()
    follower.cancel()
    await gateway.stop()


def _settle_collector() -> None:
    """The collector walks on the loop. What start-up made stays for good and need not be walked again (20 ms).

    What exchanges leave behind is looked for less often; the middle generation is walked while it is small, the oldest rarely.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 2, 100)


async def _follow(gateway: Gateway, reloading: asyncio.Event, reload: Callable[[], Settings]) -> None:
    """SIGHUP: a validated reload; the old configuration stays on any fault."""
    while True:
        await reloading.wait()
        reloading.clear()
        try:
            await gateway.reload(await asyncio.to_thread(reload))
        except Exception as error:  # noqa: BLE001  # whatever is wrong with the new configuration, the old one serves on
            log.error("reload_refused", error=type(error).__name__, detail=str(error))


def _objection(rule: Rule) -> str:
    """What the matcher has against a rule; nothing when it could be enforced as written."""
    try:
        validate(rule)
    except RuleError as error:
        return str(error)
    return ""


def check_config(
    file: Annotated[Path, typer.Argument(help="Configuration file.")],
    json: JsonOption = False,
) -> None:
    """Report every fault of a configuration at once, with file, line, column and a suggestion.

    Example: asl-gateway check-config gateway.yaml
    """
    known = {control.id for control in controls(None)} | CLASSIFIED
    faults = check(
        file,
        os.environ,
        known,
        objection=_objection,
        further=lambda settings: [*faults_of(settings), *guard_faults(settings)],
    )
    if json:
        found = [
            {
                "file": f.file,
                "line": f.line,
                "column": f.column,
                "key": f.key,
                "message": f.message,
                "suggestion": f.suggestion,
            }
            for f in faults
        ]
        document({"ok": not faults, "faults": found})
    elif faults:
        for fault in faults:
            line(str(fault))
    else:
        line(f"{file}: ok")
    if faults:
        raise typer.Exit(Exit.CONFIG_INVALID)
