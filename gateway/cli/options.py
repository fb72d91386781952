"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StateOption = Annotated[
    Path,
    typer.Option(
        "--state", envvar="ASL_GATEWAY_STATE", help="State directory of the running gateway.", show_default="state"
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        envvar="ASL_GATEWAY_CA",
        help="CAs of the admin plane, PEM; without it the certificate that admin.json names.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; recorded in the ledger.")]
OwnerOption = Annotated[
    str, typer.Option("--owner", envvar="ASL_GATEWAY_OWNER", help="Who acts; recorded in the ledger.")
]

TlsCertOption = Annotated[Path | None, typer.Option("--tls-cert", help="Certificate of the data plane, PEM.")]
TlsKeyOption = Annotated[Path | None, typer.Option("--tls-key", help="Its private key, PEM.")]
TlsClientCaOption = Annotated[
    Path | None, typer.Option("--tls-client-ca", help="CAs of the client certificates that are demanded, PEM.")
]
AdminTlsCertOption = Annotated[
    Path | None, typer.Option("--admin-tls-cert", help="Certificate of the admin plane, PEM.")
]
AdminTlsKeyOption = Annotated[Path | None, typer.Option("--admin-tls-key", help="Its private key, PEM.")]
ProbesListenOption = Annotated[
    str | None, typer.Option("--probes-listen", help="/livez and /readyz alone, in plain HTTP, host:port.")
]

STATE = Path("state")
ScreenersOption = Annotated[
    str | None, typer.Option("--screeners", help="Classifier processes: auto, 0 (threads of the gateway) or a number.")
]
