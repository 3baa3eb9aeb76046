"""`nas data`: text into shards of tokens that training maps, and tokenizers learnt from text."""

import typer

from nas.cli.data import info, prepare, tokenizer, verify

app = typer.Typer(help="Tokenize text once for many trainings, and learn tokenizers.", no_args_is_help=True)
app.command("prepare")(prepare.prepare)
app.command("info")(info.info)
app.command("verify")(verify.verify)
app.command("tokenizer")(tokenizer.tokenizer)
